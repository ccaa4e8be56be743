"""What reaches a terminal from hostile data: every verb, both streams, on one small run."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from helpers.digits import OPTIONS, digits_data, digits_model
from helpers.terminal import obeyed
from learnalign import select
from learnalign.cli.main import main

#: A title set, a screen cleared, a C1 colour, text turned round; then markup and an emoji code.
HOSTILE = "\x1b]0;mine\x07\x1b[2J\x9b31m\u202e[red]:smile:"
SHOWN = "\\x1b]0;mine\\x07\\x1b[2J\\x9b31m\\u202e[red]:smile:"

ASKED = ("--template", "{{ question }}")

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def learnalign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Say:
    """Call the program in this process; give its code and what it said on both streams."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["learnalign", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capfd.readouterr()
        assert obeyed(out) == obeyed(err) == [], (out, err)
        return code, out, err

    return call


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool whose ids, sources, levels and questions all give orders to a terminal."""
    path = digits_data(tmp_path_factory.mktemp("data") / "pool.jsonl", 6)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {"id": HOSTILE + row["id"], "source": HOSTILE, "difficulty": HOSTILE}
        row["question"] = f"\x1b[2J\r\n{row['question']}"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def flags() -> list[str]:
    return [
        part for key, value in OPTIONS.items() for part in ("--set", f"{key}={json.dumps(value)}")
    ]


@pytest.fixture(scope="module")
def run(model: Path, hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished selection; the folder's name is markup."""
    out = tmp_path_factory.mktemp("runs") / "[bold]run:smile:"
    select(str(model), str(hostile), budget=2, out=out, options=OPTIONS, progress="none")
    return out


def test_select_and_score_show_hostile_names(
    learnalign: Say, model: Path, hostile: Path, run: Path, tmp_path: Path
) -> None:
    code, out, err = learnalign(
        "select", model, hostile, "--budget", 2, "--out", tmp_path / "x", *flags()
    )
    assert code == 0, err
    assert f"{SHOWN}0+1 " in out  # the table of problems
    assert f" {SHOWN} │ {SHOWN} " in out  # sources and difficulties
    code, out, _ = learnalign("score", run, "--budget", 3)
    assert code == 0
    # What looks like rich's markup and emoji codes is a name, letter for letter.
    assert f"report    {run}/report.html" in out


def test_prompt_and_inspect_show_it_whole(
    learnalign: Say, model: Path, hostile: Path, run: Path
) -> None:
    code, out, err = learnalign("prompt", model, hostile, *flags())
    assert (code, out) == (0, "\\x1b[2J\\r\n0+0=\n")
    assert f"[{SHOWN}0+0: " in err
    # An id may be given as it was shown, and as it is.
    for problem_id in (SHOWN + "0+1", HOSTILE + "0+1"):
        code, out, _ = learnalign("inspect", run, problem_id)
        assert code == 0
        assert out.startswith(f"\\x1b[2J\\r\n0+1=\n\nanswer: 1\nsource: {SHOWN}, ")
    code, _, err = learnalign("inspect", run, "7+\x1b[m\udc9b")
    assert code == 2
    assert "got the problem '7+\\x1b[m\\udc9b'" in err


def test_json_holds_what_was_in_the_data(
    learnalign: Say, model: Path, hostile: Path, run: Path
) -> None:
    _, out, _ = learnalign("prompt", model, hostile, "--json", *flags())
    assert json.loads(out)["prompt"] == "\x1b[2J\r\n0+0="
    _, out, _ = learnalign("inspect", run, HOSTILE + "0+1", "--json")
    assert json.loads(out)["problem"]["source"] == HOSTILE
    assert out.isascii()
    _, out, _ = learnalign("compare", run, "--methods", "random", "--budget", 2, "--json")
    assert list(json.loads(out)["choices"][0]["sources"]) == [HOSTILE]


def test_compare_export_and_report(learnalign: Say, run: Path, tmp_path: Path) -> None:
    code, out, _ = learnalign("compare", run, "--methods", "learnability,random", "--budget", 2)
    assert code == 0
    assert f" {SHOWN} 2 " in out
    target = tmp_path / "\x1b[8mexport"
    code, out, _ = learnalign("export", run, "--as", "ids", "--out", target)
    assert code == 0
    assert f"{tmp_path}/\\x1b[8mexport/selected" in out
    assert learnalign("report", run)[:2] == (0, f"{run}/report.html\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["select", "MODEL", HOSTILE, "--template", "{{ question }}"],
            f"found no data file that matches {SHOWN}",
        ),
        (["select", HOSTILE, "DATA"], SHOWN),
        (["select", "MODEL", "DATA", "--set", f"{HOSTILE}=1"], "\\x1b]0;mine\\x07"),
        (["select", "MODEL", "DATA", *ASKED, "--prompt-column", HOSTILE], SHOWN),
        (["select", "MODEL", "DATA", "--template", HOSTILE], f"got --template {SHOWN}"),
        (["prompt", "MODEL", "DATA", *ASKED, "--id", HOSTILE], SHOWN),
        (["score", HOSTILE, "--budget", "2"], f"{SHOWN} is not a run folder"),
        (["export", "RUN", "--as", HOSTILE], SHOWN),
        ([HOSTILE], SHOWN),
        (["score", "RUN", f"--{HOSTILE}"], SHOWN),
    ],
)
def test_errors_quote_it_safely(
    arguments: list[str], told: str, learnalign: Say, model: Path, hostile: Path, run: Path
) -> None:
    known = {"MODEL": model, "DATA": hostile, "RUN": run}
    code, _, err = learnalign(*(known.get(part, part) for part in arguments))
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_a_value_that_is_no_yaml(learnalign: Say) -> None:
    code, _, err = learnalign("select", "--set", "prompt.template={{ question }}" + HOSTILE)
    assert code == 2
    assert "cannot read the value of --set prompt.template={{ question }}\\x1b" in err
    assert "quote text" in err


def test_an_error_nobody_foresaw(
    learnalign: Say, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("learnalign.workflows.inspect.inspect", fail)
    code, _, err = learnalign("inspect", run, "x")
    assert code == 1
    assert err.rstrip().endswith(f"RuntimeError: {SHOWN}")


def test_the_dry_run_shows_options_safely(learnalign: Say, model: Path, hostile: Path) -> None:
    plan = ("select", model, hostile, *flags(), "--budget", 2, "--dry-run")
    code, out, err = learnalign(*plan)
    assert code == 0, err
    assert "rollout time at most: " in out
    code, out, _ = learnalign(
        "select", model, hostile, *flags(), "--budget", 2, "--dry-run", "--json"
    )
    assert json.loads(out)["work"]["rollout_minutes_at_most"] >= 0


def test_a_terminal_that_knows_few_letters(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text('{"question": "é€1+1=", "answer": "2", "id": "é"}\n')
    for json_flag, shown in (
        ([], "é\\u20ac1+1=\n"),
        (["--json"], '"prompt": "\\u00e9\\u20ac1+1="'),
    ):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "latin-1", write_through=True))
        arguments = ["prompt", str(model), str(pool), *flags(), *json_flag]
        monkeypatch.setattr(sys, "argv", ["learnalign", *arguments])
        main()
        assert shown in written.getvalue().decode("latin-1")


def test_the_tables_keep_the_real_ids(run: Path) -> None:
    ids = pq.read_table(run / "scores.parquet")["problem_id"].to_pylist()
    assert all(name.startswith(HOSTILE) for name in ids)
