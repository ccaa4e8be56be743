"""An audit of a whole run: its table, its page, and what --drop leaves out."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import learnalign
from helpers.command_line import call
from helpers.html_page import HtmlPage
from helpers.sums_run import QUIET, select
from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder
from learnalign.tables import FINDINGS
from learnalign.workflows.audit import TABLE
from learnalign.workflows.compare import compare
from learnalign.workflows.select import _without

KINDS = (
    "wrong-gold", "gold-unaccepted", "guessable", "answer-in-prompt", "unfollowed-reward",
    "copies", "unparsed", "no-signal-kind",
)  # fmt: skip


def _rows(out: Path, table: str) -> list[dict[str, Any]]:
    files = sorted((out / table).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


#: What every question and completion ends with.
EVIL = "\x1b[31m<script>alert(1)</script>[red]{{ 7 * 7 }}"


def _recorded(folder: Path) -> dict[str, Any]:
    """Write a pool with a planted fault of each kind, and its rollouts; return their options."""
    pool, dump = [], []

    def add(name: str, question: str, gold: str, said: list[str], rewards: list[float]) -> None:
        pool.append(
            {"id": name, "question": question, "answer": gold, "source": name.split("-")[0]}
        )
        for text, reward in zip(said, rewards, strict=True):
            dump.append({"id": name, "completion": text, "reward": reward})

    def boxed(*answers: object) -> list[str]:
        return [f"It is \\boxed{{{answer}}} {EVIL}" for answer in answers]

    for i in range(40):
        gold, right = 100 + i, 8 - i % 5
        add(f"fine-{i}", f"What is {i} + 100? {EVIL}", str(gold),
            boxed(*[gold] * right, *range(8 - right)),
            [1.0] * right + [0.0] * (8 - right))  # fmt: skip
    add("wrong-0", "What is 7 + 8?", "16", boxed(*[15] * 8), [0.0] * 8)
    add("coin-0", "What is 9 + 9?", "18", boxed(*[18] * 8), [1.0, 0.0] * 4)
    add("told-0", "What is 6 x 7? Answer: 42", "42", boxed(*[42] * 8), [1.0] * 8)
    add("lost-0", "What is 1 + 1?", "2", [f"Let me think {EVIL}"] * 8, [0.0] * 8)
    add("copy-0", "Ann has 3 red apples and buys 4 more, how many has she?", "7",
        boxed(*range(8)), [0.0] * 7 + [1.0])  # fmt: skip
    add("copy-1", "Ann has 3 red apples, and buys 4 more. How many has she?", "12",
        boxed(*range(8)), [0.0] * 8)  # fmt: skip
    add("gold-0", "What is 2 / 0?", "", boxed(*range(8)), [0.0] * 8)
    for i in range(12):
        add(f"hard-{i}", f"What is {i} to the power of 99?", str(i + 5), boxed(*range(30, 38)),
            [0.0] * 8)  # fmt: skip
    pool = [row for row in pool if row["answer"]] + [
        {"id": "gold-1", "question": "What is two?", "answer": "\\frac{1}{", "source": "gold"}
    ]
    dump += [{"id": "gold-1", "completion": text, "reward": 0.0} for text in boxed(1, 2)]
    for name, rows in (("pool", pool), ("dump", dump)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {
        "data__paths": (str(folder / "pool.jsonl"),),
        "prompt__assistant_prefix": "1",
        "rollouts__engine": "recorded",
        "rollouts__recorded": (str(folder / "dump.jsonl"),),
        "rollouts__num_rollouts": 8,
        "rollouts__max_tokens": 64,
        "verifier__kind": "auto",
        "selection__method": "learnability",
        "selection__budget": 3,
    }


@pytest.fixture(scope="module")
def planted(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An audited selection from recorded rollouts with planted faults, and its options."""
    folder = tmp_path_factory.mktemp("planted")
    options, out = _recorded(folder), folder / "<b>run"
    select(sums, out, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        printed = call("audit", out)
    assert printed.returncode == 0, printed.stderr
    (folder / "printed.txt").write_text(printed.stdout + printed.stderr)
    return out, options


@pytest.fixture
def run(planted: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(planted[0], tmp_path / "run"))


def _found(run: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(run / TABLE).to_pylist()
    return rows


def test_planted_faults_are_found(run: Path) -> None:
    names: dict[str, list[str]] = {}
    for row in _found(run):
        names.setdefault(row["kind"], []).append(row["problem_id"])
    assert names["wrong-gold"] == ["wrong-0"]
    assert names["unfollowed-reward"] == ["coin-0"]
    assert names["answer-in-prompt"] == ["told-0"]
    assert names["unparsed"] == ["lost-0"]
    assert names["copies"] == ["copy-0", "copy-1"]
    assert "gold-1" in names["gold-unaccepted"]
    assert set(names["no-signal-kind"]) == {f"hard-{i}" for i in range(12)}
    assert "guessable" not in names


def test_the_table_is_that_of_the_run(run: Path) -> None:
    table = pq.read_table(run / TABLE)
    assert table.schema.equals(FINDINGS)
    golds = {row["problem_id"]: row["answer"] for row in _rows(run, "problems")}
    rollouts = {(row["problem_id"], row["sample"]): row for row in _rows(run, "rollouts")}
    rewards: dict[str, list[float]] = {}
    for row in _rows(run, "verdicts"):
        rewards.setdefault(row["problem_id"], []).append(row["reward"])
    for row in table.to_pylist():
        assert 0.0 <= row["score"] <= 1.0
        if row["in_pool"]:
            name = row["problem_id"]
            assert row["gold"] == golds[name]
            assert row["success_rate"] == sum(rewards[name]) / len(rewards[name])
        if row["sample"] is not None:
            whole = rollouts[row["problem_id"], row["sample"]]["completion"]
            assert row["excerpt"]
            assert whole.endswith(row["excerpt"])
    (wrong,) = [row for row in table.to_pylist() if row["kind"] == "wrong-gold"]
    assert wrong["answers"] == [{"answer": "15", "count": 8}]
    assert wrong["evidence"] == "8 of 8 rollouts answer '15', 0 the gold '16'"
    kinds = json.loads((run / "audit" / "audit.json").read_text())["kinds"]
    assert [kind["name"] for kind in kinds] == list(KINDS)
    for kind in kinds:
        ranks = [row["rank"] for row in table.to_pylist() if row["kind"] == kind["name"]]
        assert ranks == list(range(1, kind["count"] + 1))


def test_score_leaves_a_kind_out(run: Path) -> None:
    before = {row["problem_id"] for row in pq.read_table(run / "scores.parquet").to_pylist()}
    stamps = {path: path.stat().st_mtime_ns for path in run.glob("*/part-*.parquet")}
    done = call("score", run, "--drop", "wrong-gold,copies", "--drop", "unparsed")
    assert done.returncode == 0, done.stderr
    assert "Left out by the audit: wrong-gold 1, copies 2, unparsed 1 problems" in done.stdout
    after = {row["problem_id"] for row in pq.read_table(run / "scores.parquet").to_pylist()}
    assert before - after == {"wrong-0", "copy-0", "copy-1", "lost-0"}
    assert after < before
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["summary"]["dropped"] == {"wrong-gold": 1, "copies": 2, "unparsed": 1}
    assert manifest["summary"]["num_problems"] == len(after)
    assert TABLE in manifest["files"]
    assert stamps == {path: path.stat().st_mtime_ns for path in run.glob("*/part-*.parquet")}
    page = HtmlPage((run / "report.html").read_text())
    assert "wrong-gold 1, copies 2, unparsed 1" in page.words("dropped")
    assert re.search(r"wrong-gold 1 .* copies 2 ", page.words("audit"))
    # Its own options, until others are given.
    assert learnalign.load_config(run / "config.yaml").selection.drop == (
        "wrong-gold", "copies", "unparsed"
    )  # fmt: skip
    again = learnalign.load_config(run / "config.yaml", sets=["selection.drop=[]"])
    assert again.selection.drop == ()


def test_without_an_audit_the_report_says_how(finished: Path) -> None:
    page = HtmlPage((finished / "report.html").read_text())
    assert "Not audited" in page.words("audit")
    assert "dropped" not in page.texts
    assert json.loads((finished / "manifest.json").read_text())["summary"]["dropped"] == {}


def test_select_drops_without_computing_again(
    sums: Path, planted: tuple[Path, dict[str, Any]], run: Path
) -> None:
    options = planted[1] | {"selection__drop": ("unfollowed-reward",)}
    stamps = {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}
    first = select(sums, run, **options)
    assert "coin-0" not in first.scores["problem_id"].to_pylist()
    again = select(sums, run, **options)
    assert again.scores.equals(first.scores)
    everything = select(sums, run, **(options | {"selection__drop": ()}))
    assert "coin-0" in everything.scores["problem_id"].to_pylist()
    stamps.pop(run / "scores.parquet")
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}


@pytest.mark.slow  # starts the verifiers twice
def test_select_audits_where_it_must(sums: Path, tmp_path: Path) -> None:
    options = _recorded(tmp_path) | {"selection__drop": ("unfollowed-reward",)}
    done = select(sums, tmp_path / "run", **options)
    assert done.summary["dropped"] == {"unfollowed-reward": 1}
    assert (tmp_path / "run" / TABLE).is_file()


def test_an_audit_goes_with_its_tables(finished_copy: Path) -> None:
    assert call("audit", finished_copy).returncode == 0
    folder = RunFolder(finished_copy)
    with folder.locked():
        folder.discard_tables(["gradients"])
    assert (finished_copy / TABLE).is_file()
    with folder.locked():
        folder.discard_tables(["verdicts", "gradients"])
    assert not (finished_copy / "audit").exists()
    assert TABLE not in RunFolder(finished_copy).manifest.files
    failed = call("audit", finished_copy)
    assert (failed.returncode, "no finished table 'verdicts'" in failed.stderr) == (2, True)


def test_a_damaged_table_is_an_error(run: Path) -> None:
    before = pq.read_table(run / TABLE)
    (run / TABLE).write_bytes(b"PAR1 broken")
    failed = call("score", run, "--drop", "copies")
    assert failed.returncode == 2
    assert "learnalign audit" in failed.stderr
    done = learnalign.audit(run, progress="none")
    assert isinstance(done, learnalign.Audit)
    assert done.findings.equals(before)
    assert call("score", run, "--drop", "copies").returncode == 0


def test_a_run_of_its_own_verifier(finished_copy: Path) -> None:
    printed = call("audit", finished_copy)
    assert printed.returncode == 0, printed.stderr
    done = json.loads(call("audit", finished_copy, "--json").stdout)
    verdicts = _rows(finished_copy, "verdicts")
    assert done["rollouts"] == len(verdicts)
    assert done["problems"] == len({row["problem_id"] for row in verdicts})
    lost = Counter(row["problem_id"] for row in verdicts if row["verdict"] == "unparsed_answer")
    found = pq.read_table(finished_copy / TABLE).to_pylist()
    assert {row["problem_id"] for row in found if row["kind"] == "unparsed"} >= {
        name for name, count in lost.items() if count > 2
    }


def test_compare_uses_the_same_pool(run: Path, tmp_path: Path) -> None:
    assert call("score", run, "--drop", "no-signal-kind").returncode == 0
    config = learnalign.load_config(run / "config.yaml", overrides={"run.out": str(run)})
    done = compare([config], ["random"], out=tmp_path / "c", progress=QUIET)
    assert done.num_problems == pq.read_table(run / "scores.parquet").num_rows


def test_hostile_text_is_shown_and_never_interpreted(planted: tuple[Path, dict[str, Any]]) -> None:
    out = planted[0]
    printed = (out.parent / "printed.txt").read_text()
    assert "\x1b[31m" not in printed
    assert "wrong-gold" in printed
    text = (out / "audit" / "audit.html").read_text()
    page = HtmlPage(text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;[red]{{ 7 * 7 }}" in text
    assert "<script" not in text
    assert "<b>" not in text
    assert "default-src 'none'" in text
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "img", "script"}
        assert not {"src", "href", "srcset", "action", "data"} & attributes.keys()
    for kind in KINDS:
        assert any(attributes.get("id") == kind for _, attributes in page.elements)


@pytest.mark.parametrize(
    ("drop", "message"),
    [("wrong-golds", "wrong-gold"), ("copies,,unparsed", "selection.drop"), ("5", "copies")],
)
def test_unknown_kinds(drop: str, message: str, finished: Path) -> None:
    done = call("score", finished, "--drop", drop)
    assert (done.returncode, message in done.stderr) == (2, True)


def test_dropping_everything_is_an_error() -> None:
    table = pa.table({"problem_id": ["a", "b"]})
    assert _without(table, {"copies": {"a"}})["problem_id"].to_pylist() == ["b"]
    with pytest.raises(LearnAlignError, match=r"leaves out all problems \(copies 1, unparsed 2\)"):
        _without(table, {"copies": {"a"}, "unparsed": {"a", "b"}})
