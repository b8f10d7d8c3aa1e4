"""Parts of a long piece of work on several cores or machines, by Dask."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Mapped = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]
"""Maps a function over parts; yields the place and the result of each, when it is there."""

RETRIES = 3
"""Times that a part is begun again when its worker is gone."""


class ScaleError(ValueError):
    """Workers that cannot be had."""


def in_turn(function: Callable[[Any], Any], parts: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Map a function over parts in this process."""
    return ((at, function(part)) for at, part in enumerate(parts))


@contextmanager
def workers(count: int, address: str = "") -> Iterator[Mapped]:
    """Give a function that maps another over parts, and yields each place and result when it is there.

    Parameters
    ----------
    count
        Processes of this machine; with one, and no address, all is done in this process.
    address
        Of a Dask scheduler that is there already, such as ``tcp://host:8786``.

    Raises
    ------
    ScaleError
        If Dask is not installed, or nobody answers.
    """
    if count == 1 and not address:
        yield in_turn
        return
    with _client(count, address) as client:
        yield lambda function, parts: _mapped(client, function, parts)


@contextmanager
def _client(count: int, address: str) -> Iterator[Any]:
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
            yield client
        return
    from cotreat.inference.batch import ONE_THREAD

    cluster = LocalCluster(
        n_workers=count, threads_per_worker=1, dashboard_address=":0", env=ONE_THREAD
    )
    with cluster, Client(cluster) as client:
        yield client


def _mapped(
    client: Any, function: Callable[[Any], Any], parts: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    from distributed import as_completed

    # Each part says its own seed, so that it gives the same wherever and however often it is begun.
    futures = client.map(function, parts, pure=False, retries=RETRIES)
    places = {future.key: at for at, future in enumerate(futures)}
    for future in as_completed(futures):
        yield places[future.key], future.result()
