"""Figure of a fit: posterior predictive check of the events per counted regimen."""

from matplotlib.figure import Figure

from cotreat.plots.labels import event, key, regimen_name
from cotreat.plots.predictive_rows import Panel, draw_panels, row_of
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of


@figure_of(
    FIT,
    order=13,
    caption="A count far outside its interval is not reproduced by the model. Bars are the events "
    "that the fitted model predicts per counted regimen (50% and 95% intervals), diamonds the "
    "events counted. About one diamond in twenty is expected outside its 95% interval by "
    "chance.",
    alt="Horizontal intervals, one row per counted regimen, with a thick 50% and a pale 95% part, and a "
    "diamond at the number of events counted.",
)
def predictive(view: View) -> Figure | None:
    """Draw predicted and counted events.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure or None
        None where no regimen is counted.
    """
    study = view.study
    if not study.counted:
        return None
    predicted = view.draws["posterior_predictive"]["events"]
    rows = tuple(
        row_of(regimen_name(study, regimen), predicted.sel(counted=regimen), float(events))
        for regimen, events in zip(study.counted, study.events, strict=True)
    )
    panel = Panel(f"patients with {event(study)}", rows)
    return draw_panels([[panel]], [key(study, [row.name for row in rows])], "counted")
