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
    from learnalign.terminal.progress import Progress
    from learnalign.verifying.judging import judge
    from learnalign.workflows.audit import Audit, audit
    from learnalign.workflows.compare import compare
    from learnalign.workflows.evaluate import evaluate
    from learnalign.workflows.export import export_run
    from learnalign.workflows.profile import Profile, profile
    from learnalign.workflows.select import Selection, run, select
    from learnalign.workflows.staged import run_staged
    from learnalign.workflows.train import train
    from learnalign.workflows.warmup import warm_up

    __version__: str

_MODULES = {
    "Audit": "workflows.audit",
    "Config": "config",
    "LearnAlignError": "errors",
    "Profile": "workflows.profile",
    "Progress": "terminal.progress",
    "Scores": "scoring.scores",
    "Selection": "workflows.select",
    "audit": "workflows.audit",
    "compare": "workflows.compare",
    "evaluate": "workflows.evaluate",
    "export_run": "workflows.export",
    "judge": "verifying.judging",
    "load_config": "config.load",
    "profile": "workflows.profile",
    "run": "workflows.select",
    "run_staged": "workflows.staged",
    "scores": "scoring.scores",
    "select": "workflows.select",
    "train": "workflows.train",
    "warm_up": "workflows.warmup",
}

__all__ = [
    "Audit",
    "Config",
    "LearnAlignError",
    "Profile",
    "Progress",
    "Scores",
    "Selection",
    "audit",
    "compare",
    "evaluate",
    "export_run",
    "judge",
    "load_config",
    "profile",
    "run",
    "run_staged",
    "scores",
    "select",
    "train",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("learnalign")
    if name not in _MODULES:
        raise AttributeError(f"module 'learnalign' has no attribute '{name}'")
    return getattr(import_module(f"learnalign.{_MODULES[name]}"), name)
