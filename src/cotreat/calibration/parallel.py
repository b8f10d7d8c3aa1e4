"""Batches of replicates on several cores or machines, by Dask."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cotreat.inference.batch import ONE_THREAD

Mapped = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]
"""Maps a function over batches; yields the position and the result of each when it is complete."""

RETRIES = 3
"""Restarts of a batch whose worker has died."""


class ScaleError(ValueError):
    """Workers that are not available."""


def in_turn(function: Callable[[Any], Any], batches: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Map a function over batches in this process."""
    return ((at, function(batch)) for at, batch in enumerate(batches))


@contextmanager
def workers(count: int, address: str = "") -> Iterator[Mapped]:
    """Provide a map over batches that runs on workers.

    Parameters
    ----------
    count
        Processes on this machine; 1 without an address runs everything in this process.
    address
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
        yield in_turn
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ScaleError('several cores need Dask; pip install "cotreat[dask]"') from None
    if address:
        try:
            client = Client(address, timeout="10s")
        except OSError as error:
            raise ScaleError(f"no Dask scheduler answers at {address}: {error}") from None
        with client:
            yield _map_of(client)
        return
    cluster = LocalCluster(
        n_workers=count, threads_per_worker=1, dashboard_address=":0", env=ONE_THREAD
    )
    with cluster, Client(cluster) as client:
        yield _map_of(client)


def _map_of(client: Any) -> Mapped:
    from distributed import as_completed

    def mapped(function: Callable[[Any], Any], batches: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        futures = client.map(function, batches, pure=False, retries=RETRIES)
        positions = {future.key: at for at, future in enumerate(futures)}
        for future in as_completed(futures):
            yield positions[future.key], future.result()

    return mapped
