"""Choose the problems worth training on before you train.

The public Python API. Names are imported on first use, which keeps the command line's help fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learnalign.config import Config
    from learnalign.config.load import load_config
    from learnalign.errors import LearnAlignError
    from learnalign.scoring.scores import Scores, scores
    from learnalign.workflows.select import Selection, run, select

    __version__: str

_MODULES = {
    "Config": "config",
    "LearnAlignError": "errors",
    "Scores": "scoring.scores",
    "Selection": "workflows.select",
    "load_config": "config.load",
    "run": "workflows.select",
    "scores": "scoring.scores",
    "select": "workflows.select",
}

__all__ = [
    "Config",
    "LearnAlignError",
    "Scores",
    "Selection",
    "load_config",
    "run",
    "scores",
    "select",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("learnalign")
    if name not in _MODULES:
        raise AttributeError(f"module 'learnalign' has no attribute '{name}'")
    return getattr(import_module(f"learnalign.{_MODULES[name]}"), name)
