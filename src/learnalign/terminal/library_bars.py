"""Turn off the progress bars of transformers and huggingface_hub for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers.utils import logging


@contextmanager
def no_bars() -> Iterator[None]:
    """Disable progress bars of transformers and the hub; restore the user's settings on exit."""
    transformers_bars = logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if transformers_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        (enable_progress_bars if hub_bars else disable_progress_bars)()
