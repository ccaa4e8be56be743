"""Printed commands can be pasted into a shell, whatever the folder is called."""

import re
import shlex
from pathlib import Path

import pytest

from helpers.command_line import call
from helpers.run_folder import write_run
from helpers.synthetic_run import synthetic_run
from learnalign.problems.golds import GoldReader


@pytest.fixture
def run(tmp_path: Path) -> Path:
    data = synthetic_run(num_problems=12, budget=3, stability=False)
    return write_run(tmp_path / "Ada's runs" / "first $try", data)


def test_the_next_command_names_the_run(run: Path) -> None:
    done = call("score", str(run), "--method", "learnability", "--budget", "3")
    assert done.returncode == 0, done.stderr
    (line,) = re.findall(r"^export +(.*)$", done.stdout, re.MULTILINE)
    assert shlex.split(line) == ["learnalign", "export", str(run), "--as", "trl"]


def test_the_command_of_an_error_names_the_run(run: Path) -> None:
    done = call("plot", str(run), "--figure", "stability")
    assert done.returncode == 2
    (command,) = re.findall(r"`(.*)`", done.stderr, re.DOTALL)
    assert shlex.split(command) == ["learnalign", "score", str(run), "--num-bootstrap", "200"]


def test_a_field_of_an_object_is_one_word() -> None:
    found = GoldReader([], "the answer").read({"short form": "4", "long": "four"})
    options = re.findall(r"--answer-column (.*) or (.*) to select", found.detail)
    assert [shlex.split(one) for one in options[0]] == [
        ["the answer.short form"],
        ["the answer.long"],
    ]
