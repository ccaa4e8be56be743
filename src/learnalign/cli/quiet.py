"""Keeps bars, advice and warnings of other libraries off the terminal while a verb works."""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: Read by the libraries when they are imported, which verbs do late; what the user has set holds.
_QUIET = {
    "DATASETS_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Let nobody but us write to the terminal, and nothing we write fail for its encoding.

    For the program only: in a Python of the user's own, nothing is changed. Afterwards the
    environment and the warnings are as they were. ``python -W default`` or ``PYTHONWARNINGS``
    brings warnings back, and a variable such as ``TRANSFORMERS_VERBOSITY=info`` its library's word.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    added = {name: value for name, value in _QUIET.items() if name not in os.environ}
    os.environ.update(added)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)
