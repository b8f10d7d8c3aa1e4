"""Drawing the figures of a fit in a process beside the next fit, and keeping folders whole."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loky import ProcessPoolExecutor

from cotreat.plots import FIT, View, draw_each, figures
from cotreat.results import store


class Drawer:
    """Finishes the folders of fits, each while the next fit is sampled.

    A fit's folder takes its place when its figures are in it. If anything is raised meanwhile, the
    folders that are not finished are removed.

    Parameters
    ----------
    fits
        How many there will be. The last one's figures are drawn in this process.
    """

    def __init__(self, fits: int) -> None:
        self._left = fits
        # Not the standard library's, which runs the caller's script again in each process.
        self._beside = ProcessPoolExecutor(max_workers=1) if fits > 1 else None
        self._open = ExitStack()
        self._drawn: Future[Any] | None = None
        self._finish: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._beside is not None:
            self._beside.shutdown(kill_workers=True)
        self._open.__exit__(kind, error, trace)

    def write(
        self,
        target: Path,
        tables: Callable[[Path], None],
        view: View,
        failed: list[str],
        finished: Callable[[], None],
    ) -> None:
        """Write a fit's folder.

        Parameters
        ----------
        tables
            Writes all but the figures into the folder it is called with.
        view, failed
            Record of the figures, and the failed diagnostics.
        finished
            Called when the folder is in its place: at once, or during a later call.
        """
        one = self._open.enter_context(ExitStack())
        folder = one.enter_context(store.whole_folder(target))
        tables(folder)

        def finish() -> None:
            one.close()
            finished()

        self._left -= 1
        chosen = list(figures(FIT).values())  # the other process may not have registered all
        if self._beside is not None and self._left:
            self._wait()
            self._drawn = self._beside.submit(draw_each, chosen, view, folder, failed)
            self._finish = finish
        else:
            draw_each(chosen, view, folder, failed)
            self._wait()
            finish()

    def _wait(self) -> None:
        if self._drawn is not None:
            self._drawn.result()
            self._drawn = None
            self._finish()
