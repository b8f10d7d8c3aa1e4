"""Words that a clinician may not know, explained in one place and marked where they first stand."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word with its explanation.

    Attributes
    ----------
    forms : tuple of str
        How it is written, in capitals or not, an s at the end left out; the first is what it is listed as.
    """

    forms: tuple[str, ...]
    words: str

    @property
    def name(self) -> str:
        """How it is listed."""
        return self.forms[0]

    @property
    def id(self) -> str:
        """Its name within a page."""
        return "term-" + re.sub(r"\W+", "-", self.name.lower()).strip("-")


TERMS = tuple(
    Term(tuple(forms.split("|")), words)
    for forms, words in (
        (
            "synergy",
            "The combination does more than its treatments' separate effects would lead one to expect. What "
            "one expects depends on how separate effects add up; five ways are in use, and they can disagree.",
        ),
        (
            "sense of the word|senses of the word|added risks|added odds|multiplied odds|multiplied risks|independent action",
            "Ways in which separate effects may combine without synergy: their risk differences add (added "
            "risks), their excess odds ratios add (added odds), their odds ratios multiply (multiplied odds), "
            "their risk ratios multiply (multiplied risks), or each acts on the patients whom the other leaves "
            "(independent action).",
        ),
        (
            "decided",
            "A question is called decided where its probability is at least 0.975 or at most 0.025, as far out "
            "as the ends of a 95% interval.",
        ),
        (
            "extrapolated",
            "The evidence itself does not determine this number; the model's assumptions and the prior fill "
            "the gap.",
        ),
        (
            "observed",
            "The evidence itself determines this number: with ever more of such data, model and prior would not "
            "matter for it.",
        ),
        ("undefined", "The study cannot have this number at all; the reason stands beside it."),
        (
            "posterior",
            "What is believed of a number after the data, as probabilities: the prior, changed by the evidence.",
        ),
        ("prior", "What was believed of a number before the data, as probabilities."),
        (
            "credible interval",
            "A range that holds the true number with 95% probability, given the data, the model and the prior.",
        ),
        (
            "confidence interval",
            "A range made by a recipe that holds the true number in 95% of studies like this one.",
        ),
        (
            "maximum likelihood",
            "The usual estimate without a prior: the numbers under which the data would have been most probable.",
        ),
        (
            "penalised likelihood|Firth's penalty",
            "Maximum likelihood with a small correction, which has an answer where cells are empty or full.",
        ),
        (
            "odds ratio",
            "Odds are the chance of the event divided by the chance of none; an odds ratio divides the odds with "
            "a treatment by those without it. 1 means no difference.",
        ),
        (
            "ratio of odds ratios|ratios of odds ratios|ror",
            "The odds ratio of one treatment in patients who get the other, divided by that in patients who do "
            "not. 1 means that odds ratios multiply.",
        ),
        (
            "product term",
            "The coefficient of two treatments together in a logistic regression, as printed: a ratio of odds "
            "ratios in the patients, and among the other terms, that the regression has. Beside another means "
            "that one regression holds both.",
        ),
        (
            "interaction contrast|ic",
            "How far the risk with both is from the sum of the separate risk differences (ic). 0 means that "
            "risks add.",
        ),
        (
            "relative excess risk|reri_rr|reri_or|RERI",
            "The interaction contrast in units of the risk without either treatment, from risk ratios (reri_rr) "
            "or, where the outcome is rare, from odds ratios (reri_or). 0 means that risks add.",
        ),
        (
            "attributable proportion|ap|ap_or",
            "The share of the risk with both that is due to their interaction, from risk ratios (ap) or odds "
            "ratios (ap_or). 0 means that risks add.",
        ),
        (
            "synergy index|s_or",
            "The excess with both divided by the sum of the separate excesses, from risk ratios (s) or odds "
            "ratios (s_or). 1 means that risks add; undefined where the separate excesses add up to none.",
        ),
        (
            "ratio of risk ratios|rrr",
            "The risk ratio of one treatment in patients who get the other, divided by that in patients who do "
            "not (rrr). 1 means that risk ratios multiply.",
        ),
        (
            "excess over independent action|bliss",
            "How far the risk with both is from what two treatments would reach if each acted on the patients "
            "whom the other leaves (bliss). 0 means independent action.",
        ),
        (
            "excess over the better single treatment|hsa",
            "How far the risk with both is from that with the better of the two alone (hsa, highest single "
            "agent). Above 0 the combination is better than either; that is not evidence of synergy.",
        ),
        (
            "family|families",
            "Measures of synergy with the same sense of the word; they have one sign and count once.",
        ),
        (
            "antagonism",
            "The combination does less than its treatments' separate effects lead one to expect.",
        ),
        (
            "background",
            "The other treatments that patients get while two are judged: on none, no other; on C, treatment C "
            "as well.",
        ),
        (
            "Wald",
            "An interval or a p-value made of an estimate and its standard error, as most in print are.",
        ),
        (
            "learnt|contraction",
            "How much narrower the posterior is than the prior: 1, everything was learnt; 0, it is as wide; below "
            "0, it is the wider one, as where the evidence moves a ratio to where it is less certain.",
        ),
        (
            "reading",
            "One way to take printed words that can be taken in several ways.",
        ),
        (
            "log evidence|marginal likelihood",
            "How well a model with its priors predicted the data, on a logarithmic scale. 8 units are odds of "
            "about 3,000 to 1.",
        ),
        (
            "standardised",
            "Averaged over the covariates of all patients, so that regimens are compared in the same mix of "
            "patients.",
        ),
        (
            "overlap",
            "Whether patients of every kind have got every regimen; without it comparison is guesswork.",
        ),
        (
            "confounding",
            "Patients who get one treatment differ from those who do not in ways that matter for the outcome.",
        ),
        (
            "immortal time",
            "Whoever is counted as treated later, or longer, must have lived, and not responded, until then; that "
            "alone makes late or long treatment look good.",
        ),
        (
            "E-value",
            "How strongly something unmeasured would have to go with both treatment and outcome to explain the "
            "finding away, as a risk ratio.",
        ),
        (
            "leave-one-out|PSIS-LOO|LOO|elpd",
            "How well a model predicts each piece of evidence from all the others; elpd is the sum of the log "
            "predictive densities, higher is better.",
        ),
        (
            "Pareto k",
            "How far the result leans on one piece of evidence, or on a rough approximation; above 0.7 the shortcut "
            "cannot be trusted.",
        ),
        ("stacking", "Weights for the predictions of several models that together predict best."),
        (
            "Bayes factor",
            "How many times more probable the data are under one model than under another; it depends on the "
            "priors.",
        ),
        (
            "Savage–Dickey",
            "A way to get a Bayes factor from prior and posterior at the point of no effect.",
        ),
        (
            "multiverse",
            "The same question answered under every combination of reading, model and priors that can be defended.",
        ),
        (
            "power scaling|power-scaling",
            "Making the prior, or the data, a little stronger or weaker to see how far the answer moves.",
        ),
        (
            "tipping point|tipping-point",
            "How much of a bias it would take to overturn the conclusion.",
        ),
        (
            "R-hat",
            "Compares the chains with each other; close to 1 means that they found the same answer.",
        ),
        (
            "effective sample size|ESS",
            "How many independent draws the correlated ones are worth.",
        ),
        (
            "divergence|divergent",
            "Steps at which the sampler lost its way; any of them may mean a biased result.",
        ),
        (
            "MCSE",
            "Monte Carlo standard error: how far a number would move if the sampler were run again.",
        ),
        ("chain", "Independent runs of the sampler; they must agree."),
        (
            "NUTS|No-U-Turn",
            "The usual sampler: it draws parameter values in proportion to their posterior probability.",
        ),
        (
            "sequential Monte Carlo|SMC",
            "A sampler that moves many draws from the prior to the posterior in steps, and gives the log evidence.",
        ),
        (
            "Laplace's approximation",
            "A fast fit by normal distributions, corrected by weights; k says if it is near.",
        ),
        (
            "posterior predictive|predictive",
            "Data that the fitted model would produce, to be compared with the real ones.",
        ),
        (
            "number needed to treat|NNT|NNTB|NNTH",
            "How many must be treated for one more to have, or be spared, the event (B benefit, H harm).",
        ),
        ("seed", "Number from which all random draws follow; the same seed gives the same result."),
        ("digest", "Fingerprint of the evidence; two fits with the same one saw the same data."),
    )
)
"""Every explained term."""

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
