"""`learnalign verify`: completions and golds in, verdicts out, held against another judge."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.command_line import Called, call
from helpers.terminal import obeyed

#: Completions to the gold 12, and what a person says of them.
SAID = {"That makes 12.": "correct", "13, I think": "wrong", "no idea": "unparsed_answer"}


def lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    rows = [{"gold": "12", "completion": said} for said in SAID]
    return lines(tmp_path / "sums.jsonl", rows)


def verify(*arguments: str | Path, kind: str = "number") -> Called:
    return call("verify", *arguments, *(("--verifier", kind) if kind else ()))


def tree(*arguments: str | Path, kind: str = "number") -> dict[str, Any]:
    done = verify(*arguments, "--json", kind=kind)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def verdicts(*arguments: str | Path, kind: str = "number") -> list[str]:
    return [row["verdict"] for row in tree(*arguments, kind=kind)["verdicts"]]


def refused(*arguments: str | Path, kind: str = "number") -> str:
    done = verify(*arguments, kind=kind)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_table_of_verifiers_and_what_had_no_answer(sums: Path) -> None:
    done = verify(sums)
    assert done.returncode == 0
    table = {
        cells[1].strip(): cells[2].strip()
        for line in done.stdout.splitlines()
        if len(cells := line.split("│")) == 4
    }
    assert table["completions"] == "3"
    assert (table["correct"], table["wrong"], table["no answer"]) == ("1", "1", "1")
    assert "3 verdicts in" in done.stdout
    assert "row 3: gold 12, completion no idea" in done.stdout
    assert done.stderr.splitlines()[0] == (
        "completion: completion, answer: gold (text), prompt: none, verifier: number"
    )


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz"])
def test_every_format_that_a_pool_may_have(tmp_path: Path, suffix: str) -> None:
    rows = [{"gold": "12", "completion": said} for said in SAID]
    path = tmp_path / f"sums{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix in (".csv", ".tsv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(text.getvalue())
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        text_lines = "".join(json.dumps(row) + "\n" for row in rows)
        data = text_lines.encode()
        path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    assert verdicts(path) == list(SAID.values())


@pytest.mark.parametrize(
    ("completion", "gold"),
    [
        ("responses", "answer"),
        ("Output", "Ground_Truth"),
        ("solution_str", "solution"),
        ("prediction", "expected_answer"),
        ("model_output", "gts"),
    ],
)
def test_columns_are_found_by_their_names(tmp_path: Path, completion: str, gold: str) -> None:
    rows = [{gold: "12", completion: said, "question": "7+5?"} for said in SAID]
    found = tree(lines(tmp_path / "x.jsonl", rows))
    assert [row["verdict"] for row in found["verdicts"]] == list(SAID.values())
    assert found["read"] == [
        f"completion: {completion}, answer: {gold} (text), prompt: question, verifier: number"
    ]


def test_a_gold_goes_before_answers_and_labels_of_others(tmp_path: Path) -> None:
    row = {"gold": "12", "answer": "13", "label": 0, "completion": "12"}
    assert verdicts(lines(tmp_path / "x.jsonl", [row])) == ["correct"]
    trainers = {"data_source": "sums", "reward_model": {"ground_truth": "12"}, "response": "12"}
    assert verdicts(lines(tmp_path / "y.jsonl", [trainers])) == ["correct"]


def test_a_prediction_counts_where_there_is_no_completion(tmp_path: Path) -> None:
    row = {"gold": "12", "prediction": "13", "completion": "It is 12."}
    assert verdicts(lines(tmp_path / "x.jsonl", [row])) == ["correct"]


def test_named_columns_also_inside_objects(tmp_path: Path) -> None:
    rows = [{"answer": said, "meta": {"right": "12"}} for said in SAID]
    flags = ("--completion-column", "answer", "--answer-column", "meta.right")
    assert verdicts(lines(tmp_path / "x.jsonl", rows), *flags) == list(SAID.values())


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("--completion-column", "completio"),
        ("--answer-column", "gould"),
        ("--prompt-column", "prompts"),
        ("--against", "rewards"),
    ],
)
def test_an_unknown_column_is_refused_by_its_flag(sums: Path, flag: str, name: str) -> None:
    said = refused(sums, flag, name)
    assert f"has no column '{name}'" in said
    assert f"correct {flag}" in said


def test_a_file_without_completions_says_what_it_has(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", [{"gold": "1", "text": "1"}])
    said = refused(path)
    assert "its columns are gold, text" in said
    assert "--completion-column" in said
    two = lines(tmp_path / "y.jsonl", [{"gold": "1", "response": "1", "output": "2"}])
    assert "2 candidates (response, output)" in refused(two)


def test_lists_and_chats_are_samples_of_a_problem(tmp_path: Path) -> None:
    chat = [{"role": "assistant", "content": "thinking of 1"}]
    chat.append({"role": "assistant", "content": [{"type": "text", "text": "12"}]})
    rows = [
        {"gold": 12, "completions": list(SAID)},
        {"gold": 12, "completions": chat},
        {"gold": 12, "completions": [chat, [{"role": "assistant", "content": "5"}]]},
        {"gold": 12, "completions": [{"text": "12"}, {"text": "1"}]},
        {"gold": 12.0, "completions": 12},
        {"gold": "12", "completions": [["It is ", "12"]]},
    ]
    found = tree(lines(tmp_path / "x.jsonl", rows))["verdicts"]
    assert [row["verdict"] for row in found] == [
        *SAID.values(),
        *("correct", "correct", "wrong", "correct", "wrong", "correct", "correct"),
    ]
    places = [(row["row"], row["sample"]) for row in found]
    assert places[:4] == [(1, 0), (1, 1), (1, 2), (2, 0)]


def test_lists_written_as_text_only_where_the_whole_column_is(tmp_path: Path) -> None:
    rows = [{"gold": "12", "completion": json.dumps(["12", "1"]), "score": "[1, 0]"}] * 2
    found = tree(lines(tmp_path / "x.jsonl", rows), "--against", "score")
    assert [row["verdict"] for row in found["verdicts"]] == ["correct", "wrong"] * 2
    assert found["against"]["equal"] == 4
    rows[1] = {"gold": "12", "completion": "so 12", "score": "1"}
    rows[0] = {"gold": "12", "completion": json.dumps(["12", "1"]), "score": "0"}
    assert verdicts(lines(tmp_path / "y.jsonl", rows)) == ["wrong", "correct"]


def test_golds_are_read_as_a_selection_reads_them(tmp_path: Path) -> None:
    worked = "7 * 200 = 1,400.\n#### 1,400"
    rows = [
        {"answer": worked, "completion": "1400"},
        {"answer": ["1400"], "completion": "1400"},
        {"answer": ["1", "1400"], "completion": "1400"},
        {"answer": 1400.0, "completion": "1400"},
        {"answer": "$1,400", "completion": "1400"},
        {"answer": worked, "completion": "7"},
    ]
    found = tree(lines(tmp_path / "x.jsonl", rows))["verdicts"]
    assert [row["verdict"] for row in found] == ["correct"] * 5 + ["wrong"]
    assert found[0]["gold"] == "1400"
    options = {"question": "Which?", "choices": ["red", "blue"], "answer": 1, "response": "(B)"}
    path = lines(tmp_path / "y.jsonl", [options, options | {"response": "(A)", "answer": 0}])
    assert verdicts(path, kind="choice") == ["correct", "correct"]


def test_golds_that_cannot_be_read_are_shown_and_no_wrong_answers(tmp_path: Path) -> None:
    golds = [None, "", {"value": 3}, "many", "\ud83d", "3"]
    rows = [{"gold": gold, "completion": "3"} for gold in golds]
    path = lines(tmp_path / "x.jsonl", rows)
    found = tree(path)
    assert [row["verdict"] for row in found["verdicts"]] == ["unparsed_gold"] * 5 + ["correct"]
    assert all(row["reward"] is None for row in found["verdicts"][:5])
    assert "missing_answer" in found["verdicts"][0]["detail"]
    assert "gold.value" in found["verdicts"][2]["detail"]
    by_name = {row["verifier"]: row for row in found["verifiers"]}
    # "many" is text that the verifier itself could not read.
    assert by_name[None]["unparsed_gold"], by_name["number"]["unparsed_gold"] == (4, 1)
    done = verify(path)
    assert "unreadable gold: 5" in done.stdout
    assert "row 1: gold none, missing_answer" in done.stdout
    objects = lines(tmp_path / "y.jsonl", rows[2:3])
    assert "--answer-column gold.value" in refused(objects)


def test_rows_name_their_verifiers(tmp_path: Path) -> None:
    rows = [
        {"gold": "12", "completion": "it is 12", "kind": "number"},
        {"gold": "B", "completion": "The answer is B.", "kind": "Choice"},
        {"gold": "so so", "completion": "<answer>so  so</answer>", "kind": "text"},
        {"gold": "12", "completion": "13", "kind": "number"},
    ]
    path = lines(tmp_path / "x.jsonl", rows)
    found = tree(path, kind="")
    assert [row["verifier"] for row in found["verdicts"]] == ["number", "choice", "text", "number"]
    assert [row["verdict"] for row in found["verdicts"]] == ["correct"] * 3 + ["wrong"]
    assert (found["verifiers"][0]["verifier"], found["verifiers"][0]["problems"]) == ("number", 2)
    # The flag goes over the column.
    assert {row["verifier"] for row in tree(path, kind="text")["verdicts"]} == {"text"}
    about = [row | {"kind": "algebra"} for row in rows]
    read = tree(lines(tmp_path / "y.jsonl", about), kind="number")["read"][0]
    assert "verifier: number" in read
    said = refused(lines(tmp_path / "z.jsonl", [*rows, about[0]]), kind="")
    assert "row 5: got the verifier 'algebra'" in said
    code = [*rows, rows[0] | {"kind": "os:system"}]
    assert "got the verifier 'os:system'" in refused(lines(tmp_path / "w.jsonl", code), kind="")


def test_a_column_of_kinds_of_problems_is_no_column_of_verifiers(tmp_path: Path) -> None:
    rows = [{"gold": "x", "completion": "<answer>x</answer>", "kind": "algebra"}]
    line = tree(lines(tmp_path / "x.jsonl", rows), kind="")["read"][0]
    assert line.endswith("verifier: auto; ignored the column kind, which names no verifiers")


def test_a_function_of_the_users_judges_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lengths.py").write_text(
        "def short(completions, gold, unit, **columns):\n"
        "    assert 'completion' not in columns and 'score' not in columns\n"
        "    return [float(len(text) <= int(n)) for text, n in zip(completions, gold)]\n"
    )
    monkeypatch.chdir(tmp_path)
    rows = [{"gold": "3", "completion": text, "unit": "m", "score": 1} for text in ("abc", "abcd")]
    path = lines(tmp_path / "x.jsonl", rows)
    found = tree(path, "--against", "score", kind="lengths:short")
    assert [row["verdict"] for row in found["verdicts"]] == ["correct", "wrong"]
    assert "has no function 'shrt'" in refused(path, kind="lengths:shrt")


def test_recorded_rewards_do_not_stand_in_for_verdicts(tmp_path: Path) -> None:
    row = {"gold": "red", "completion": "<answer>blue</answer>", "reward": 1.0}
    found = tree(lines(tmp_path / "x.jsonl", [row | {"kind": "text"}]), kind="")
    assert found["verdicts"][0]["verdict"] == "wrong"


THEIRS: list[tuple[Any, Any]] = [
    (True, False),
    (1, 0),
    (1.0, 0.0),
    (0.7, 0.5),
    ("correct", "incorrect"),
    ("Correct", "WRONG"),
    ("true", "False"),
    ("1", "0"),
    ("yes", "no"),
    ("pass", "fail"),
    ([1.0], [0.0]),
    ({"score": 1.0}, {"score": 0.0}),
    ("correct", "unparsed_answer"),
]


@pytest.mark.parametrize(("right", "wrong"), THEIRS, ids=str)
def test_verdicts_of_others_in_all_spellings(tmp_path: Path, right: Any, wrong: Any) -> None:
    # Theirs call all three right, then all three wrong; ours is correct, wrong, unparsed.
    rows = [{"gold": "12", "completion": said, "judge": right} for said in SAID]
    rows += [row | {"judge": wrong} for row in rows]
    found = tree(lines(tmp_path / "x.jsonl", rows), "--against", "judge")
    assert [row["theirs"] for row in found["verdicts"]] == [True] * 3 + [False] * 3
    assert [row["differs"] for row in found["verdicts"]] == [False, True, True, True, False, False]
    assert found["against"] == {
        "compared": 6,
        "equal": 3,
        "agreement": 0.5,
        "both_correct": 1,
        "ours_alone_correct": 1,
        "theirs_alone_correct": 2,
        "both_wrong": 2,
        "without_theirs": 0,
        "without_ours": 0,
    }
    assert [row["row"] for row in found["differences"]] == [2, 3, 4]


def test_what_neither_has_judged_is_counted_and_left_out(tmp_path: Path) -> None:
    missing = [None, "", float("nan"), "null", "error"]
    rows: list[dict[str, Any]] = [{"gold": "1", "completion": "1", "judge": m} for m in missing]
    rows += [{"gold": "many", "completion": "1", "judge": 1}]
    rows += [{"gold": "1", "completion": "1", "judge": 1}]
    path = lines(tmp_path / "x.jsonl", rows)
    found = tree(path, "--against", "judge")["against"]
    assert (found["without_theirs"], found["without_ours"], found["compared"]) == (5, 1, 1)
    said = verify(path, "--against", "judge").stdout
    assert "1 of 1 verdicts agree (100.0%) with 'judge'" in said
    assert "5 without their verdict, 1 without ours" in said
    nobody = tree(lines(tmp_path / "y.jsonl", rows[:2]), "--against", "judge")["against"]
    assert (nobody["compared"], nobody["agreement"]) == (0, None)


def test_differences_on_the_terminal_are_cut_and_all_in_the_file(tmp_path: Path) -> None:
    long = "word " * 400
    rows = [
        {"gold": "12", "completions": [f"{long} it is {i}", "12"], "judge": [1, 1]}
        for i in range(100, 125)
    ]
    path, out = lines(tmp_path / "x.jsonl", rows), tmp_path / "v.jsonl"
    done = verify(path, "--against", "judge", "--out", out)
    assert done.returncode == 0
    assert "25 differences, first 20" in done.stdout
    assert "it is 119" in done.stdout
    assert "it is 120" not in done.stdout
    kept = [json.loads(line) for line in out.read_text().splitlines()]
    assert sum(row["differs"] for row in kept) == 25
    assert kept[0]["end_of_completion"].endswith("it is 100")
    assert len(kept[0]["end_of_completion"]) < 200
    assert kept[1]["end_of_completion"] is None
    assert "it is 102" not in verify(path, "--against", "judge", "--differences", "2").stdout


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("perhaps", "row 1: got the verdict 'perhaps' in 'judge'"),
        ({"a": 1, "b": 0}, "row 1: got the verdict"),
        ([1, 0], "row 1: 1 completions and 2 verdicts in 'judge'"),
    ],
)
def test_no_verdict_is_guessed(tmp_path: Path, judge: Any, said: str) -> None:
    path = lines(tmp_path / "x.jsonl", [{"gold": "1", "completion": "1", "judge": judge}])
    assert said in refused(path, "--against", "judge")


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_formats_of_the_file_of_verdicts(sums: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "new" / f"verdicts{suffix}"
    first, again = verify(sums, "--out", out), verify(sums, "--out", out)
    assert first.returncode == again.returncode == 0
    if suffix == ".parquet":
        rows = pq.read_table(out).to_pylist()
    elif suffix == ".json":
        rows = json.loads(out.read_text())
    else:
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["verdict"] for row in rows] == list(SAID.values())
    assert [(row["file"], row["row"], row["sample"]) for row in rows] == [
        (str(sums), n, 0) for n in (1, 2, 3)
    ]
    assert rows[0]["parsed_answer"] == "12"
    assert rows[2]["end_of_completion"] == "no idea"
    assert "completion" not in rows[0]
    assert f"verdicts  {out}\n" in first.stdout
    assert f"verdicts  {out} (replaces earlier verdicts)\n" in again.stdout
    assert "verdicts" not in tree(sums, "--out", out)
    assert list(out.parent.iterdir()) == [out]


def test_no_file_of_the_users_is_written_over(sums: Path, tmp_path: Path) -> None:
    before = sums.read_text()
    assert "which is an input" in refused(sums, "--out", sums)
    other = lines(tmp_path / "other.jsonl", [{"question": "1+1?"}])
    assert "has no verdicts from LearnAlign" in refused(sums, "--out", other)
    assert sums.read_text() == before
    assert other.read_text() == '{"question": "1+1?"}\n'
    assert "(.jsonl, .json, .parquet)" in refused(sums, "--out", tmp_path / "verdicts.txt")
    (tmp_path / "folder.json").mkdir()
    assert "a folder" in refused(sums, "--out", tmp_path / "folder.json")
    assert "cannot write" in refused(sums, "--out", sums / "deeper" / "verdicts.json")


def test_bad_files_end_with_two_and_leave_nothing(tmp_path: Path) -> None:
    empty, broken, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "v.jsonl"
    empty.write_text("")
    broken.write_text('{"gold": "1", "completion": "1"}\n{"gold"\n')
    assert "has no rows" in refused(empty, "--out", out)
    assert "line 2" in refused(broken, "--out", out)
    assert "found no file or folder" in refused(tmp_path / "c.jsonl", "--out", out)
    assert not out.exists()
    assert sorted(tmp_path.iterdir()) == [empty, broken]
    number = lines(tmp_path / "d.jsonl", [{"gold": "1", "completion": True}])
    assert "row 1: got a completion of type bool" in refused(number)
    none = lines(tmp_path / "e.jsonl", [{"gold": "1", "completion": []}])
    assert "has no completions in" in refused(none)
    good = lines(tmp_path / "f.jsonl", [{"gold": "1", "completion": "1"}])
    assert "the nearest is 'number'" in refused(good, kind="numbr")
    assert call("verify").returncode == 2


def test_completions_that_are_missing_have_no_answer_and_are_counted(tmp_path: Path) -> None:
    said: list[Any] = [None, "", "1", []]
    path = lines(tmp_path / "x.jsonl", [{"gold": "1", "completion": one} for one in said])
    found = tree(path)
    assert [(row["row"], row["verdict"]) for row in found["verdicts"]] == [
        (1, "unparsed_answer"),
        (2, "unparsed_answer"),
        (3, "correct"),
    ]
    assert "rows without a completion: 1; empty completions: 2" in found["read"][0]


def test_several_files_and_a_limit(sums: Path, tmp_path: Path) -> None:
    other = lines(tmp_path / "other.jsonl", [{"answer": "5", "response": "5"}] * 4)
    found = tree(sums, other, "--limit", "2")
    assert [(Path(row["file"]).name, row["row"]) for row in found["verdicts"]] == [
        *(("sums.jsonl", 1), ("sums.jsonl", 2), ("other.jsonl", 1), ("other.jsonl", 2))
    ]
    assert found["read"][1] == (
        f"{other}: completion: response, answer: answer (text), prompt: none, verifier: number"
    )


def test_hostile_text_gives_no_orders(tmp_path: Path) -> None:
    evil = "\x1b[2J\x9b31m\u202e[red]:smile:\r\n"
    rows = [{"gold": f"{evil}7", "completion": f"{evil}8", "judge": 1}]
    rows += [{"gold": f"{evil}many", "completion": "8", "judge": 1}]
    rows += [{"gold": "7", "completion": f"none \ud83d {evil}", "judge": 0}]
    path = lines(tmp_path / "x\x1b[31m.jsonl", rows)
    out = tmp_path / "v.parquet"
    for flags in ((), ("--against", "judge", "--out", out), ("--json",)):
        done = verify(path, *flags)
        assert done.returncode == 0, done.stderr
        assert obeyed(done.stdout) == obeyed(done.stderr) == []
    assert "\\x1b[2J" in verify(path, "--against", "judge").stdout
    assert "[red]:smile:" in verify(path).stdout
    assert pq.read_table(out)["verdict"].to_pylist()[0] == "unparsed_gold"
    quoted = refused(path, "--answer-column", evil)
    assert obeyed(quoted) == []


def test_auto_judges_by_the_gold(tmp_path: Path) -> None:
    golds = {"\\frac{1}{2}": "number", "\\frac{x}{2}": "math", "yes": "words", "2:30 pm": "time"}
    rows = [{"answer": gold, "completion": f"It is $\\boxed{{{gold}}}$."} for gold in golds]
    found = tree(lines(tmp_path / "x.jsonl", rows), kind="")
    expected = [(verifier, "correct") for verifier in golds.values()]
    assert [(row["verifier"], row["verdict"]) for row in found["verdicts"]] == expected


def test_a_file_without_rows_among_others(sums: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert verdicts(empty, sums, empty) == list(SAID.values())
    assert f"{empty}: no rows" in verify(empty, sums).stderr
    assert "has no rows" in refused(empty, empty)
