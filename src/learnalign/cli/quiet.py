"""Keep other libraries' progress bars, advice and warnings off the terminal."""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: Libraries read these on import, which commands do late; the user's own values take precedence.
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
    """Silence other libraries, and escape characters that the terminal's encoding lacks.

    Only the command line uses this; importing LearnAlign changes nothing. The environment and the
    warning filters are restored afterwards. ``python -W default`` or ``PYTHONWARNINGS`` brings
    warnings back; a variable such as ``TRANSFORMERS_VERBOSITY=info`` brings back its library's
    messages.
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
