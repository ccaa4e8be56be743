"""What every test may ask for: no hub, and the real small model."""

import os
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from hypothesis import settings

# A first call that loads a library is slow; how long a case takes is no part of any property.
settings.register_profile("learnalign", deadline=None)
settings.load_profile("learnalign")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, converted once and kept in ``models/``."""
    folder = ROOT / "models" / "SmolLM2-135M-Instruct"
    if not (folder / "config.json").is_file():
        script = [sys.executable, str(ROOT / "examples" / "smollm2.py"), str(folder)]
        done = subprocess.run(script, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"SmolLM2 cannot be made: {done.stderr.strip().splitlines()[-1:]}")
    return folder
