"""The samplers one can ask for, told without loading them."""

from contextlib import AbstractContextManager
from importlib.util import find_spec

ENGINES = {
    "numpyro": "NUTS by NumPyro on JAX (the default)",
    "laplace": "Laplace's approximation corrected by importance sampling: seconds, without warm-up; NUTS "
    "where its Pareto k is bad",
    "smc": "tempered sequential Monte Carlo on blackjax, slower; for posteriors that NUTS cannot walk",
}
"""Samplers by name, the default first."""


LIBRARIES = {"smc": "blackjax", "laplace": "jax"}
"""What an engine stands on, where it has another name."""


class EngineError(ValueError):
    """A sampler that is unknown or not installed."""


def require_engine(name: str) -> None:
    """Make sure that a sampler can be had.

    Raises
    ------
    EngineError
        If it is unknown or not installed.
    """
    if name not in ENGINES:
        raise EngineError(f"no engine {name!r}; the engines are {', '.join(ENGINES)}")
    if find_spec(LIBRARIES.get(name, name)) is None:
        raise EngineError(
            f"the engine {name} needs {LIBRARIES.get(name, name)}, which is not installed"
        )


def one_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread.

    On many small matrices several threads take three times the CPU time of one.

    Returns
    -------
    context manager
        The limit holds until it is left.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits
