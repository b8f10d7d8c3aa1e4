"""The glossary of the page: terms that a clinician may not know, each marked at its first use."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A term with its explanation.

    Attributes
    ----------
    forms : tuple of str
        Spellings, in any case, without a final s; the first heads its entry.
    """

    forms: tuple[str, ...]
    words: str

    @property
    def name(self) -> str:
        """The spelling that heads its entry."""
        return self.forms[0]

    @property
    def id(self) -> str:
        """Its anchor within a page."""
        return "term-" + re.sub(r"\W+", "-", self.name.lower()).strip("-")


TERMS = (
    Term(
        ("synergy",),
        "The combination has a larger effect than its treatments' separate effects predict. "
        "The prediction depends on a reference model of how separate effects combine; five "
        "are in use, and they can disagree.",
    ),
    Term(
        (
            "scale",
            "scales",
            "RERI from odds ratios",
            "multiplicative odds",
            "multiplicative risks",
            "Bliss independence",
        ),
        "The reference model of no interaction. Additive: risk differences add. RERI from "
        "odds ratios: excess odds ratios add. Multiplicative odds: odds ratios multiply. "
        "Multiplicative risks: risk ratios multiply. Bliss independence: each treatment acts "
        "on the patients who do not respond to the other.",
    ),
    Term(
        ("conclusive",),
        "P(synergy), or the probability of a ratio above 1, is at least 0.975 or at most "
        "0.025, by more than the Monte Carlo error: the tails of a 95% interval.",
    ),
    Term(
        ("inconclusive",),
        "The data could answer the question, but the probability lies between 0.025 and 0.975.",
    ),
    Term(
        ("not identified", "prior-dependent"),
        "The evidence alone does not determine this number; the model's assumptions and the "
        "prior do.",
    ),
    Term(
        ("identified",),
        "The evidence alone determines this number: with ever more of such data, model and "
        "prior would not matter for it.",
    ),
    Term(
        ("not estimable",),
        "The study cannot have this number at all; the reason is given.",
    ),
    Term(
        ("P(synergy)",),
        "Probability, after the data, that the combination exceeds the reference model on "
        "that scale.",
    ),
    Term(
        ("posterior",),
        "Probability distribution of a number after the data: the prior, updated by the evidence.",
    ),
    Term(
        ("prior",),
        "Probability distribution of a number before the data.",
    ),
    Term(
        ("credible interval",),
        "A range that contains the true number with 95% probability, given the data, the "
        "model and the prior.",
    ),
    Term(
        ("confidence interval",),
        "A range from a procedure that contains the true number in 95% of studies like this one.",
    ),
    Term(
        ("maximum likelihood",),
        "The usual estimate without a prior: the values under which the data are most probable.",
    ),
    Term(
        ("penalised likelihood", "Firth's penalty"),
        "Maximum likelihood with a small correction, which is finite also where a regimen has "
        "no events or only events.",
    ),
    Term(
        ("odds ratio",),
        "Odds are the risk of the event divided by the risk of no event; an odds ratio "
        "divides the odds with a treatment by those without it. 1 means no difference.",
    ),
    Term(
        ("ratio of odds ratios", "ratios of odds ratios", "ror"),
        "The odds ratio of one treatment in patients who receive the other, divided by that "
        "in patients who do not. 1 means that odds ratios multiply.",
    ),
    Term(
        ("product term",),
        "The coefficient of two treatments together in a logistic regression, as reported: a "
        "ratio of odds ratios in the patients, and given the other terms, of that regression. "
        "Mutually adjusted: one regression contains both product terms.",
    ),
    Term(
        ("interaction contrast", "ic"),
        "Difference between the risk with both treatments and the sum of the separate risk "
        "differences (ic). 0 means that risks add.",
    ),
    Term(
        ("relative excess risk", "reri_rr", "reri_or", "RERI"),
        "The interaction contrast in units of the risk without either treatment, from risk "
        "ratios (reri_rr) or, where the outcome is rare, from odds ratios (reri_or). 0 means "
        "that risks add.",
    ),
    Term(
        ("attributable proportion", "ap", "ap_or"),
        "The share of the risk with both treatments that is due to their interaction, from "
        "risk ratios (ap) or odds ratios (ap_or). 0 means that risks add.",
    ),
    Term(
        ("synergy index", "s_or"),
        "The excess with both treatments divided by the sum of the separate excesses, from "
        "risk ratios (s) or odds ratios (s_or). 1 means that risks add; not estimable where "
        "the separate excesses sum to 0 or less.",
    ),
    Term(
        ("ratio of risk ratios", "rrr"),
        "The risk ratio of one treatment in patients who receive the other, divided by that "
        "in patients who do not (rrr). 1 means that risk ratios multiply.",
    ),
    Term(
        ("excess over independent action", "bliss"),
        "Difference between the risk with both treatments and that under Bliss independence "
        "(bliss). 0 means Bliss independence.",
    ),
    Term(
        ("excess over the better single treatment", "hsa"),
        "Difference between the risk with both treatments and that with the better of the two "
        "alone (hsa, highest single agent). Above 0 the combination is better than either; "
        "that is not evidence of synergy.",
    ),
    Term(
        ("antagonism",),
        "The combination has a smaller effect than its treatments' separate effects predict.",
    ),
    Term(
        ("co-treatment",),
        "Other study drugs that patients receive while two are compared.",
    ),
    Term(
        ("Wald",),
        "An interval or a p-value from an estimate and its standard error, as most reported "
        "ones are.",
    ),
    Term(
        ("posterior contraction", "contraction"),
        "How much narrower the posterior is than the prior: near 1, the data dominate; 0, it "
        "is as wide; below 0, it is wider, as can happen where the evidence moves a ratio to "
        "where it is less certain.",
    ),
    Term(
        ("interpretation",),
        "One meaning of an ambiguous statement of the paper.",
    ),
    Term(
        ("log evidence", "marginal likelihood"),
        "How well a model with its priors predicted the data, on a logarithmic scale. 8 units "
        "are odds of about 3,000 to 1.",
    ),
    Term(
        ("standardised",),
        "Averaged over the covariates of all patients, so that regimens are compared in the "
        "same mix of patients.",
    ),
    Term(
        ("overlap",),
        "Whether patients of every kind received every regimen; without it comparisons depend "
        "on the model.",
    ),
    Term(
        ("confounding",),
        "Patients who receive one treatment differ from those who do not in ways that affect "
        "the outcome.",
    ),
    Term(
        ("exchangeable", "partially pooled", "partial pooling"),
        "Effects that come from one common distribution, so that each shrinks towards their mean.",
    ),
    Term(
        ("primary analysis",),
        "The fit that the conclusion is of: the first model that the evidence allows, under "
        "the default interpretation and priors.",
    ),
    Term(
        ("arm sizes",),
        "Numbers of patients per regimen.",
    ),
    Term(
        ("immortal time", "immortal-time bias"),
        "Patients who are counted as treated later, or longer, must have survived, and not "
        "responded, until then; that alone makes late or long treatment look good.",
    ),
    Term(
        ("E-value",),
        "How strong an unmeasured confounder's associations with both treatment and outcome "
        "would have to be to explain the finding, as a risk ratio.",
    ),
    Term(
        ("leave-one-out", "PSIS-LOO", "LOO", "elpd"),
        "How well a model predicts each part of the evidence from all others; elpd is the sum "
        "of the log predictive densities, higher is better.",
    ),
    Term(
        ("Pareto k",),
        "How much the result depends on one part of the evidence, or on a rough "
        "approximation: good, borderline or unreliable; above 0.7 the approximation cannot be "
        "trusted.",
    ),
    Term(
        ("stacking",),
        "Weights for the predictions of several models that together predict best.",
    ),
    Term(
        ("Bayes factor",),
        "Ratio of the probabilities of the data under two models; it depends on the priors.",
    ),
    Term(
        ("Savage–Dickey",),
        "A Bayes factor from the prior and posterior densities at no effect.",
    ),
    Term(
        ("multiverse",),
        "The same question under every combination of interpretation, model and priors that "
        "can be defended.",
    ),
    Term(
        ("power scaling", "power-scaling"),
        "Making the prior, or the data, slightly stronger or weaker to see how much the "
        "posterior changes.",
    ),
    Term(
        ("tipping point", "tipping-point"),
        "How much bias would overturn the conclusion.",
    ),
    Term(
        ("R-hat",),
        "Compares the chains with each other; close to 1 means that they agree.",
    ),
    Term(
        ("effective sample size", "ESS"),
        "How many independent draws the correlated ones are worth.",
    ),
    Term(
        ("divergence", "divergent"),
        "Steps at which the sampler failed; any of them may mean a biased result.",
    ),
    Term(
        ("MCSE", "Monte Carlo error"),
        "Monte Carlo standard error: how much a number would vary if the sampler were run again.",
    ),
    Term(
        ("chain",),
        "Independent runs of the sampler; they must agree.",
    ),
    Term(
        ("NUTS", "No-U-Turn"),
        "The usual sampler: it draws parameter values in proportion to their posterior "
        "probability.",
    ),
    Term(
        ("sequential Monte Carlo", "SMC"),
        "A sampler that moves many draws from the prior to the posterior in steps, and gives "
        "the log evidence.",
    ),
    Term(
        ("Laplace's approximation",),
        "A fast fit by normal distributions, corrected by weights; Pareto k shows whether it "
        "is close.",
    ),
    Term(
        ("posterior predictive", "predictive"),
        "Data that the fitted model would produce, to be compared with the real data.",
    ),
    Term(
        ("number needed to treat", "NNT", "NNTB", "NNTH"),
        "How many patients must be treated for one more to have, or be spared, the event (B "
        "benefit, H harm).",
    ),
    Term(
        ("seed",),
        "Number from which all random draws follow; the same seed gives the same result.",
    ),
    Term(
        ("digest",),
        "Fingerprint of the evidence; two fits with the same one used the same data.",
    ),
)
"""Every term, explained in the page's glossary."""

SKIPPED = (
    "script",
    "style",
    "code",
    "pre",
    "a",
    "button",
    "summary",
    "h1",
    "h2",
    "h3",
    "h4",
    "td",
    "nav",
    "dl",
)
"""Elements in which no term is marked."""

# Longer terms first: "ratio of odds ratios" is not an odds ratio.
_FORMS = sorted(
    ((form, at) for at, term in enumerate(TERMS) for form in term.forms),
    key=lambda one: -len(one[0]),
)
_ANY = "|".join(f"(?P<t{n}>{re.escape(form)}s?)" for n, (form, _) in enumerate(_FORMS))
# What touches the word stays with it: a button is a box that lines may break before and after.
_WORD = re.compile(
    rf"(?<![\w-])(?P<before>\(*)(?P<word>{_ANY})(?![\w-]|\.\w)(?P<after>[.,;:)]*)", re.IGNORECASE
)
_TAG = re.compile(r"(<[^>]*>)")


def mark(page: str) -> tuple[str, tuple[Term, ...]]:
    """Mark each term where it first stands, and return the terms found.

    What is folded away is looked at last: a term in it is marked there only if it stands nowhere else.

    Parameters
    ----------
    page
        HTML in which ``<`` and ``>`` stand for tags alone.
    """
    pieces = _TAG.split(page)
    left = dict(enumerate(TERMS))
    for within_details in (False, True):
        for at, text in _texts(pieces, within_details):
            pieces[at] = _marked(text, left)
    found = tuple(term for at, term in enumerate(TERMS) if at not in left)
    return "".join(pieces), found


def _texts(pieces: list[str], within_details: bool) -> Iterator[tuple[int, str]]:
    """Give the pieces of text, within or without ``details``, in which terms may be marked."""
    depth = dict.fromkeys((*SKIPPED, "details"), 0)
    for at, piece in enumerate(pieces):
        if piece.startswith("<"):
            name = re.match(r"</?(\w*)", piece)
            if name and name[1] in depth:
                depth[name[1]] += -1 if piece.startswith("</") else 1
        elif bool(depth["details"]) == within_details and not any(depth[n] for n in SKIPPED):
            yield at, piece


def _marked(text: str, left: dict[int, Term]) -> str:
    """Mark in one piece of text the terms that are left, each once, and take them from what is left."""

    def replace(match: re.Match[str]) -> str:
        (at,) = (at for n, (_, at) in enumerate(_FORMS) if match[f"t{n}"])
        term = left.pop(at, None)
        if term is None:
            return match[0]
        button = f'<button type="button" popovertarget="{term.id}">{match["word"]}</button>'
        return f"<dfn>{match['before']}{button}{match['after']}</dfn>"

    return _WORD.sub(replace, text)
