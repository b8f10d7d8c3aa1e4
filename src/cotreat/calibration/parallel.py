"""Batches of replicates on several cores or machines, by Dask."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cotreat.inference.batch import ONE_THREAD, with_registered

Mapped = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Maps a function over batches, as the built-in `map` does; results in the order of the batches."""

RETRIES = 3
"""Restarts of a batch whose worker has died."""


class ScaleError(ValueError):
    """Workers that are not available."""


@contextmanager
def workers(count: int, address: str = "") -> Iterator[Mapped]:
    """Provide a map over batches that runs on workers.

    Parameters
    ----------
    count : int
        Processes on this machine; 1 without an address runs everything in this process.
    address : str
        Of a running Dask scheduler, such as ``tcp://host:8786``.

    Yields
    ------
    Mapped
        A seed belongs to each batch, so results do not depend on the workers.

    Raises
    ------
    ScaleError
        If Dask is not installed, or no scheduler answers at the address.
    """
    if count == 1 and not address:
        yield map
        return
    try:
        from distributed import Client
    except ImportError:
        raise ScaleError('several cores need Dask; pip install "cotreat[dask]"') from None
    cluster = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": ":0"}
    try:
        client = Client(address, timeout="10s") if address else Client(**cluster, env=ONE_THREAD)
    except OSError as error:
        raise ScaleError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:

        def mapped(function: Callable[[Any], Any], batches: Sequence[Any]) -> Iterator[Any]:
            futures = client.map(with_registered(function), batches, pure=False, retries=RETRIES)
            return (future.result() for future in futures)

        yield mapped
