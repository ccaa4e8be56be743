"""No bars of transformers and the hub while we work, and a user's own settings as they were."""

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
    """Keep transformers and the hub from drawing bars; afterwards they may as they might before."""
    ours, hubs = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if ours:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        (enable_progress_bars if hubs else disable_progress_bars)()
