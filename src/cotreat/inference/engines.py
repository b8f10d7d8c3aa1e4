"""List the samplers and check that they are installed, without importing them."""

from contextlib import AbstractContextManager
from importlib.util import find_spec

ENGINES = {
    "numpyro": "NUTS by NumPyro on JAX (the default)",
    "laplace": "Laplace's approximation corrected by importance sampling: seconds, without warm-up; a fit that "
    "is not good is repeated by NUTS, or by smc where arm sizes are unknown",
    "smc": "tempered sequential Monte Carlo on blackjax, slower; for posteriors that NUTS cannot explore",
}
"""Descriptions of the samplers by name, the default first."""


LIBRARIES = {"smc": "blackjax", "laplace": "jax"}
"""Python package of an engine, where its name differs from that of the engine."""


class EngineError(ValueError):
    """Raised for a sampler that is unknown, not installed or wrongly configured."""


def require_engine(name: str) -> None:
    """Check that a sampler is available.

    Parameters
    ----------
    name
        A key of `ENGINES`.

    Raises
    ------
    EngineError
        If the sampler is unknown or its package is not installed.
    """
    if name not in ENGINES:
        raise EngineError(f"no engine {name!r}; the engines are {', '.join(ENGINES)}")
    if find_spec(LIBRARIES.get(name, name)) is None:
        raise EngineError(
            f"the engine {name} needs {LIBRARIES.get(name, name)}, which is not installed"
        )


def one_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread.

    For many small matrices, several threads take three times the CPU time of one thread.

    Returns
    -------
    context manager
        The limit applies until the context is left.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits
