"""Opens a page in a real, headless Chromium; a machine without one skips the test."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from learnalign.process_guard import Child

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
)


@dataclass(frozen=True)
class Page:
    """What the browser made of a page."""

    dom: str
    console: list[str]
    """Lines of the console: errors of scripts, refusals of the content security policy."""


def find_browser() -> str:
    """Path of the browser; skips the calling test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on this machine (looked for {', '.join(NAMES)})")
    return found


def open_page(path: Path, *, width: int = 1280) -> Page:
    """Run a page's scripts and return its DOM and its console."""
    done = _run("--dump-dom", f"--window-size={width},900", path.resolve().as_uri())
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Page(done.stdout, console)


def take_screenshot(path: Path, picture: Path, *, width: int = 1280, height: int = 900) -> None:
    """Write a PNG of the top ``height`` pixels of a page."""
    size = f"--window-size={width},{height}"
    _run(f"--screenshot={picture.resolve()}", size, path.resolve().as_uri())


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    browser = find_browser()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", *arguments]
        # A browser is many processes; all of them end here, or with the test.
        child = Child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            said, errors = child.process.communicate(timeout=120)
            assert child.process.returncode == 0, errors
        finally:
            child.end()
    return subprocess.CompletedProcess(command, 0, said, errors)
