"""What was read, and how, is the first thing that `prompt` and `select` say."""

import json
from pathlib import Path

import pytest

from helpers.command_line import Called, call
from helpers.digits import OPTIONS, digits_model

LINE = "prompt: prompt (chat, JSON text), answer: reward_model.ground_truth (list of one)"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    rows = [
        {"prompt": json.dumps([{"role": "user", "content": f"{i}+1="}])}
        | {"reward_model": {"ground_truth": [str(i + 1)]}}
        for i in range(6)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def _call(*arguments: object) -> Called:
    done = call(*map(str, arguments))
    assert done.returncode == 0, done.stderr
    return done


def _sets() -> list[str]:
    return [
        part for name, value in OPTIONS.items() for part in ("--set", f"{name}={json.dumps(value)}")
    ]


def test_prompt_says_how_it_read(model: Path, data: Path) -> None:
    flags = ("--template", "{{ question }}")
    done = _call("prompt", model, data, *flags)
    assert done.stdout.startswith("0+1=")
    assert LINE in done.stderr.splitlines()
    found = json.loads(_call("prompt", model, data, *flags, "--json").stdout)
    assert (found["answer"], found["read"]) == ("1", [LINE])
    two = _call("prompt", model, data, data, *flags).stderr.splitlines()
    assert f"{data}: {LINE}" in two
    assert f"{data}: {LINE}; excluded: 6 duplicate" in two


def test_the_beginning_of_an_answer_stands_at_the_end(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "begun.jsonl"
    chat = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "=2"}]
    data.write_text(json.dumps({"messages": chat, "answer": "2"}))
    flags = ("--template", "{{ question }}", "--instruction", "0", "--assistant-prefix", "+")
    dropped = _call("prompt", model, data, *flags)
    assert (dropped.stdout, "last assistant message dropped" in dropped.stderr) == (
        "1+1\n0+\n",
        True,
    )
    kept = _call("prompt", model, data, *flags, "--last-assistant", "prefill")
    assert kept.stdout == "1+1\n0+=2\n"


def test_select_says_first_how_it_read(model: Path, data: Path, tmp_path: Path) -> None:
    asked = ("select", model, data, "--budget", 2, "--out", tmp_path / "run", *_sets())
    assert _call(*asked).stderr.splitlines()[0] == LINE
    assert LINE in _call(*asked).stderr.splitlines()
    assert json.loads(_call(*asked, "--json").stdout)["out"] == str(tmp_path / "run")


def test_which_verifiers_auto_takes_is_said_and_counted(model: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "mixed.jsonl", tmp_path / "run"
    rows: list[dict[str, object]] = [
        {"question": f"{i}+2=", "answer": str(i + 2)} for i in range(5)
    ]
    for row in rows[3:]:
        row["metadata"] = {"source_dataset": "chain_sum"}
    data.write_text("\n".join(map(json.dumps, rows)))
    line = (
        "verifier: number for 3 problems, reasoning_gym for 2 (--verifier NAME takes one for all)"
    )
    prompt = ("prompt", model, data, "--template", "{{ question }}")
    assert line in _call(*prompt).stderr.splitlines()
    found = json.loads(_call(*prompt, "--index", 4, "--json").stdout)
    assert found["verifier"] == "reasoning_gym"
    fixed = ("--set", "verifier.kind=number")
    assert "verifier:" not in _call(*prompt, *fixed).stderr
    assert json.loads(_call(*prompt, *fixed, "--json").stdout)["verifier"] == "number"

    pytest.importorskip("reasoning_gym")
    asked = ("select", model, data, "--budget", 2, "--out", out, *_sets())
    asked = (*asked, "--method", "learnability")
    assert line in _call(*asked, "--verifier", "auto").stderr.splitlines()
    counts = {"number": 3, "reasoning_gym": 2}
    done = json.loads(_call(*asked, "--verifier", "auto", "--json").stdout)
    assert done["verifiers"] == counts
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["stages"]["problems"]["facts"]["verifiers"] == counts
    # The pool stands; another verifier judges all of it.
    redone = _call(*asked, "--verifier", "number", "--redo", "verdicts")
    assert "verifier:" not in redone.stderr
    assert json.loads((out / "manifest.json").read_text())["summary"]["verifiers"] == {"number": 5}


def test_what_was_read_of_a_folder_or_file_is_said_too(model: Path, tmp_path: Path) -> None:
    row = {"question": "1+1=", "answer": "2", "system": "Be brief."}
    for name in ("train", "test"):
        (tmp_path / f"{name}.json").write_bytes(json.dumps([row]).encode("utf-16"))
    said = _call("prompt", model, tmp_path, "--template", "{{ question }}").stderr.splitlines()
    assert (
        "prompt: question (text), answer: answer (text); split train; not read: test.json; UTF-16; "
        "the column system is not shown to the model"
    ) in said
