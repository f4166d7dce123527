"""Learn how a machine learns by predicting in embedding space.

Written by hand, but for the version. What is named here is loaded when it is first asked for, and torch with it.
"""
from importlib import import_module
from typing import TYPE_CHECKING

# The version of the package.
__version__ = "0.1.0"

# What a user needs, and the module that holds it. All else is imported from its module.
_HOMES = dict(
    READY="inference", Tofy="sharing", TofyError="errors", UsageError="errors", advise="sizing",
    diagnose="doctor", diff="inference", evaluate_run="inference", fill="inference", fit="training",
    load="inference", load_data="data", load_source="hub", plot_answer="inference", plot_log="curves",
    plot_runs="curves", read_log="run_folder", recipe="training", train="training")
__all__ = [
    "__version__", "READY", "Tofy", "TofyError", "UsageError", "advise", "diagnose", "diff", "evaluate_run",
    "fill", "fit", "load", "load_data", "load_source", "plot_answer", "plot_log", "plot_runs", "read_log",
    "recipe", "train",
]

if TYPE_CHECKING:
    from .curves import plot_log as plot_log
    from .curves import plot_runs as plot_runs
    from .data import load_data as load_data
    from .doctor import diagnose as diagnose
    from .errors import TofyError as TofyError
    from .errors import UsageError as UsageError
    from .hub import load_source as load_source
    from .inference import READY as READY
    from .inference import diff as diff
    from .inference import evaluate_run as evaluate_run
    from .inference import fill as fill
    from .inference import load as load
    from .inference import plot_answer as plot_answer
    from .run_folder import read_log as read_log
    from .sharing import Tofy as Tofy
    from .sizing import advise as advise
    from .training import fit as fit
    from .training import recipe as recipe
    from .training import train as train


if not TYPE_CHECKING:                       # or a checker would take every name for one of ours
    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return value


def __dir__() -> list[str]: return sorted({*globals(), *__all__})
