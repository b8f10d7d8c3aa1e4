"""Put an audit into words."""

from functools import cache

import jinja2
import pandas as pd

from cotreat.audit.audit import ODDS_RATIOS, RISKS, Audit, Group
from cotreat.core.constants import CONDITIONAL_ONLY, IDENTIFIED, STANDARDISED
from cotreat.evidence.contrasts import named_parts
from cotreat.evidence.reported import link_value, standard_error, wald_p
from cotreat.evidence.statistics import has_level, statistic_of
from cotreat.models.registry import SUBGROUPS
from cotreat.study.conditioning import conditioning_of
from cotreat.study.study import ReportedEstimate, Stratification, Study

LISTED = 12
"""Identified odds ratios are listed by name up to this number."""
AGREEMENT = {True: "agrees within rounding", False: "INCOMPATIBLE", None: "not compared"}


def words(audit: Audit) -> str:
    """Return an audit as text: evidence, dependences, open questions and identification.

    Parameters
    ----------
    audit : Audit

    Returns
    -------
    str
    """
    study = audit.study
    template = _environment().get_template("audit.txt.jinja")
    text = template.render(
        audit=audit,
        study=study,
        covariates=_covariates(study),
        risks=CONDITIONAL_ONLY if study.is_case_control else STANDARDISED,
        sets=str(conditioning_of(study)) if study.is_matched else "",
        reported=_reported(audit) if study.reported_estimates else None,
        agreement=AGREEMENT,
    )
    return text.rstrip()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cotreat.audit", "."),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(),  # none: plain text
        trim_blocks=True,
    )
    environment.filters |= {"model": _model, "table": _as_text, "members": _members}
    environment.filters["without_source"] = lambda counts, source: counts.replace(
        {"source": {source: ""}}
    )
    return environment


def _model(strata: Stratification) -> str:
    """Return the name of the model of a stratification."""
    return f"{SUBGROUPS}:{strata.id}" if strata.groups else strata.id


def _as_text(table: pd.DataFrame, title: str) -> str:
    """Write a table as lines below a title, its columns aligned to the left."""
    columns = [[name, *map(_as_cell, table[name])] for name in table]
    wide = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    rows = ["  ".join(row).rstrip() for row in zip(*wide, strict=True)]
    return "\n  ".join([f"{title}:", *rows])


def _as_cell(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _covariates(study: Study) -> str:
    patterns = study.patterns
    if patterns is None or not study.is_adjusted:
        return ""
    names = [f"covariates {', '.join(patterns.names)}"] if patterns.covariates else []
    return ", ".join(names + [f"{len(patterns.clusters)} clusters"] * bool(patterns.clusters))


def _reported(audit: Audit) -> pd.DataFrame:
    """Return the reported estimates with what the counts, or their own intervals, imply."""
    estimates = audit.study.reported_estimates
    uses = zip(audit.reported.use, estimates, strict=True)
    table = audit.reported.drop(columns=["measure", "contrast", "pair"]).assign(
        use=[use + _used_by(audit.study, estimate) for use, estimate in uses]
    )
    table.insert(4, "implies", [_implied(audit, estimate) for estimate in estimates])
    return table


def _implied(audit: Audit, reported: ReportedEstimate) -> str:
    if reported.id in audit.checks:
        values = [f"{value:.4g}" for value in audit.checks[reported.id].implied]
        interval = f" ({values[1]} to {values[2]})" if len(values) == 3 else ""
        return f"counts {values[0]}{interval}" if values else ""
    if not reported.has_interval:
        return ""
    scale = "log " if statistic_of(reported.kind).link.is_log else ""
    value, error = link_value(reported), standard_error(reported)
    scale = "log odds " if has_level(reported.kind) else scale
    p = "" if has_level(reported.kind) else f", Wald p {wald_p(reported):.3g}"
    return f"{scale}{value:.4f}, SE {error:.4f}{p}"


def _used_by(study: Study, reported: ReportedEstimate) -> str:
    """Name the models for which an estimate of levels or subgroups is evidence."""
    if reported.meaning is None or study.distinguishes(named_parts(reported.meaning)):
        return ""
    named = named_parts(reported.meaning)
    models = [_model(strata) for strata in study.stratifications if named <= strata.written]
    return f"; evidence of the model {', '.join(models)}"


def _members(group: Group, has_uncounted: bool) -> str:
    """List the estimands of a group, or count them where all are alike."""
    names = [e.measure if e.synergy else e.label for e in group.estimands]
    is_short = has_uncounted and group.status.name == IDENTIFIED and len(names) <= LISTED
    if group.kind not in (RISKS, ODDS_RATIOS) or is_short:
        return f": {('; ' if group.kind in (RISKS, ODDS_RATIOS) else ', ').join(names)}"
    return f" ({len(names)} of {group.of})" if len(names) < group.of else ""
