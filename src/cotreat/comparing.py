"""The command ``cotreat compare``: models of a study beside each other."""

import argparse
from pathlib import Path

from cotreat.priors import models_for, prior_set
from cotreat.study_file import load_study

HELP = "compare the models of a study: prediction, Bayes factors, averages"
DESCRIPTION = (
    "Fit the models of a study that ask how treatments combine and compare them: leave-one-out "
    "cross-validation with its unit declared, each printed number or count in what all others predict of "
    "it, Bayes factors of the interactions with the prior they depend on, and the average over whether "
    "there are any. Writes DIR/STUDY/comparison."
)


def run(options: argparse.Namespace) -> int:
    """Compare the models of a study; return the exit status.

    Parameters
    ----------
    options
        ``study``, ``priors``, ``reading``, ``depth``, ``seed``, ``out`` and ``say``, which takes a line.
    """
    study = load_study(options.study)
    if options.reading:
        study = study.under(options.reading)
    priors = prior_set(options.priors, study)
    models_for(study, priors)
    folder = Path(options.out) / study.id
    folder.mkdir(parents=True, exist_ok=True)
    # What can be refused is refused by now; the heavy libraries take seconds to load.
    options.say("loading PyMC, JAX and ArviZ …")
    from cotreat import comparison
    from cotreat.parts import read_part

    written = comparison.write(
        study, {}, priors, folder, depth=options.depth, seed=options.seed, say=options.say
    )
    part = read_part(written)
    lines = [f"{study.title}: {part.title.lower()}, {priors.name} priors, depth {options.depth}"]
    lines += [f"- {line}" for line in part.findings]
    lines += [f"NOT ANSWERED: {line}" for line in part.failed]
    print("\n".join([*lines, "", f"written: {written}"]))
    return 0
