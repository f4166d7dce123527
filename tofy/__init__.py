"""Learn how a machine learns by predicting in embedding space.

Written by hand, but for the version. What is named here is loaded when it is first asked for, and torch with it.
"""
from importlib import import_module
from typing import TYPE_CHECKING

# The version of the package.
__version__ = "0.1.0"

if TYPE_CHECKING:
    from .data import load_data as load_data
    from .inference import READY as READY
    from .inference import diff as diff
    from .inference import fill as fill
    from .inference import load as load
    from .inference import plot_answer as plot_answer
    from .sharing import Tofy as Tofy
    from .training import recipe as recipe
    from .training import train as train

_HOMES = dict(load_data="data", READY="inference", diff="inference", fill="inference", load="inference",
              plot_answer="inference", Tofy="sharing", recipe="training", train="training")
__all__ = ["__version__", "READY", "Tofy", "diff", "fill", "load", "load_data", "plot_answer", "recipe", "train"]


if not TYPE_CHECKING:                       # or a checker would take every name for one of ours
    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return value


def __dir__() -> list[str]: return sorted({*globals(), *__all__})
