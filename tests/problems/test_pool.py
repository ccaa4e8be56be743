"""The pool has stable ids, no copies and no benchmark problems, and says what went and why."""

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.pool import Pool, read_pool
from learnalign.problems.texts import Benchmarks, gold_key, normal

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def _pool(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> Pool:
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return read_pool(DataConfig(paths=(str(path),), **options))


def _reasons(pool: Pool) -> dict[int, str]:
    return {row["source_row"]: row["reason"] for row in pool.excluded}


def test_copies_go_and_are_listed(tmp_path: Path) -> None:
    questions = [
        "What is 5 - 3?",
        "What is 5 - 3?",
        "what is  5 - 3",
        "What is 5 + 3?",
        "What is 5 - 3?",
    ]
    answers = ["2", "2", "2", "8", "3"]
    rows = [{"question": q, "answer": a} for q, a in zip(questions, answers, strict=True)]
    pool = _pool(tmp_path, rows)
    assert [p["position"] for p in pool.problems] == [0, 3]
    assert _reasons(pool) == {1: "duplicate", 2: "near_duplicate", 4: "conflicting_answer"}
    kept = _pool(tmp_path, rows, keep_near_duplicates=True)
    assert [p["position"] for p in kept.problems] == [0, 2, 3]


def test_ids_depend_on_prompt_and_answer_alone(tmp_path: Path) -> None:
    rows = [{"question": "a?", "answer": "1"}, {"question": "b?", "answer": "2"}]
    first = [p["problem_id"] for p in _pool(tmp_path, rows).problems]
    turned = [p["problem_id"] for p in _pool(tmp_path, [*rows[::-1]]).problems]
    assert first == turned[::-1]
    changed = _pool(tmp_path, [rows[0] | {"answer": "3"}]).problems[0]["problem_id"]
    assert changed != first[0]


def test_the_users_ids(tmp_path: Path) -> None:
    rows = [{"id": i, "question": f"{i}?", "answer": "1"} for i in (7, 8)]
    assert [p["problem_id"] for p in _pool(tmp_path, rows).problems] == ["7", "8"]
    rows[1]["id"] = 7
    with pytest.raises(LearnAlignError, match=r"row 2: got the id '7' again .*row 1"):
        _pool(tmp_path, rows, id_column="id")
    # A column that is only called id, and is none, is passed over.
    assert len({p["problem_id"] for p in _pool(tmp_path, rows).problems} - {"7"}) == 2


def test_ids_of_two_sources_that_are_the_same_are_no_ids(tmp_path: Path) -> None:
    paths = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.jsonl"
        rows = [{"id": i, "question": f"{name} {i}?", "answer": "1"} for i in range(2)]
        path.write_text("\n".join(map(json.dumps, rows)))
        paths.append(str(path))
    names = [p["problem_id"] for p in read_pool(DataConfig(paths=tuple(paths))).problems]
    assert names[:2] == ["0", "1"]
    assert len(set(names)) == 4
    with pytest.raises(LearnAlignError, match="got the id '0' again"):
        read_pool(DataConfig(paths=tuple(paths), id_column="id"))


def test_blanks_are_set_aside(tmp_path: Path) -> None:
    rows = [
        {"question": "", "answer": "1"},
        {"question": "a?", "answer": None},
        {"question": "b?", "answer": "1"},
    ]
    pool = _pool(tmp_path, rows)
    assert _reasons(pool) == {0: "empty_prompt", 1: "missing_answer"}
    assert pool.excluded_table().num_rows == 2
    assert [p["problem_id"] for p in pool.problems]


def test_missing_column(tmp_path: Path) -> None:
    with pytest.raises(LearnAlignError, match="no column 'reply'"):
        _pool(tmp_path, [{"question": "a?", "answer": "1"}], answer_column="reply")


def test_no_data() -> None:
    with pytest.raises(LearnAlignError, match="got no data"):
        read_pool(DataConfig())


def test_decontaminate(tmp_path: Path) -> None:
    long = "A train leaves the station at noon and travels at sixty miles an hour for two hours."
    bench = tmp_path / "bench.jsonl"
    rows = [{"problem": "How many cats?"}, {"problem": long + " How far?"}]
    bench.write_text("\n".join(map(json.dumps, rows)))
    pool = _pool(
        tmp_path,
        [
            {"question": "how many  cats", "answer": "1"},
            {"question": "Solve this. " + long.upper(), "answer": "2"},
            {"question": "How many dogs?", "answer": "3"},
        ],
        decontaminate=(bench,),
    )
    assert _reasons(pool) == {0: "contaminated", 1: "contaminated"}
    assert "bench.jsonl:1" in pool.excluded[0]["detail"]
    assert "bench.jsonl:2" in pool.excluded[1]["detail"]


def test_shared_instructions_are_no_contamination() -> None:
    wrapper = "Solve the problem step by step and put your final answer within a box: "
    benchmarks = Benchmarks([(str(i), f"{wrapper}{i} + {i}?") for i in range(50)], ngram=13)
    assert benchmarks.match(wrapper + "99 + 1?") is None
    assert benchmarks.match(wrapper + "7 + 7?") == "7: the same text"


def test_characters_without_spaces_are_words() -> None:
    text = "已知三角形的三边长分别为三四五求它的面积是多少"
    assert Benchmarks([("b", text)], ngram=13).match("题目: " + text[2:20]) is not None


def test_signs_that_mean_something_stay() -> None:
    different = ["5 - 3", "5 + 3", "5!", "5", "3.5", "35", "f'(x)", "f(x)"]
    assert len({normal(text) for text in different}) == len(different)


def test_real_contamination() -> None:
    train = SHARED / "dapo17k" / "dapo17k_dedup.jsonl.gz"
    if not train.exists():
        pytest.skip("the shared data is not here")
    found = {}
    for name in ("math500", "amc23"):
        bench = SHARED / "bench" / f"{name}.jsonl"
        config = DataConfig(paths=(str(train),), decontaminate=(bench,))
        found[name] = sum(r["reason"] == "contaminated" for r in read_pool(config).excluded)
    # A count by normalised text alone had 5 and 6; runs of words find those and more.
    assert found["math500"] >= 5
    assert found["amc23"] >= 6


def test_real_gsm8k() -> None:
    train = SHARED / "gsm8k" / "train.jsonl"
    if not train.exists():
        pytest.skip("the shared data is not here")
    pool = read_pool(DataConfig(paths=(str(train),)))
    assert len(pool.problems) + len(pool.excluded) == 7473
    # Every gold of GSM8K is a whole number, written without commas once it is read.
    assert all(p["answer"].lstrip("-").isdigit() for p in pool.problems)


def test_real_verl_rows() -> None:
    train = SHARED / "history" / "dsr_sub.parquet"
    if not train.exists():
        pytest.skip("the shared data is not here")
    pool = read_pool(DataConfig(paths=(str(train),)))
    assert pool.readings[0].columns.answer == "reward_model.ground_truth"
    assert len(pool.problems) > 1000
    assert pool.originals[0].num_rows == 1209


def test_golds_that_mean_the_same_are_no_conflict(tmp_path: Path) -> None:
    answers = ["9", 9.0, "$9$", r"\boxed{9}", r"\frac{18}{2}", "9.0", ["9"], "10"]
    pool = _pool(tmp_path, [{"question": "How many?", "answer": a} for a in answers])
    assert [p["answer"] for p in pool.problems] == ["9"]
    assert [row["reason"] for row in pool.excluded] == ["duplicate"] * 6 + ["conflicting_answer"]


def test_golds_that_only_look_alike_stay_apart() -> None:
    apart = ["(1,234)", "(1234)", "1234.5", "12345", "x", "X", "-1", "1", "1/3", "0.333", "1 2"]
    assert len({gold_key(gold) for gold in apart}) == len(apart)


def test_half_a_character_sets_its_row_aside(tmp_path: Path) -> None:
    rows = [
        {"question": "a?", "answer": "1", "note": "\ud83d"},
        {"question": "b \udc00?", "answer": "1"},
        {"question": "c?", "answer": "1"},
    ]
    pool = _pool(tmp_path, rows)
    assert _reasons(pool) == {0: "broken_text", 1: "broken_text"}
    assert pool.excluded_table().num_rows == 2


@pytest.mark.parametrize(
    "bad", ["a\nb", "a\u2028b", "a\x85b", "a\x0bb", "a\r", "a\ud800", " a", ""]
)
def test_an_id_is_one_line(tmp_path: Path, bad: str) -> None:
    rows = [{"key": "fine", "question": "a?", "answer": "1"}]
    rows.append({"key": bad, "question": "b?", "answer": "1"})
    with pytest.raises(LearnAlignError, match=r"(?s)row 2: got the id .*in the id column 'key'"):
        _pool(tmp_path, rows, id_column="key")


def test_a_column_of_objects_is_an_error_and_a_single_one_is_listed(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"question": f"{i}?", "answer": {"best": str(i)}} for i in (1, 2)]
    with pytest.raises(LearnAlignError, match=r"(?s)has best.*--answer-column answer\.best"):
        _pool(tmp_path, rows)
    assert [p["answer"] for p in _pool(tmp_path, rows, answer_column="answer.best").problems] == [
        "1",
        "2",
    ]
    rows[0]["answer"] = "1"
    assert _reasons(_pool(tmp_path, rows)) == {1: "object_answer"}


def test_how_it_was_read_is_said(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": json.dumps([{"role": "user", "content": f"{i}?"}])}
        | {"reward_model": {"ground_truth": [str(i)]}}
        for i in range(3)
    ]
    rows.append({"prompt": "plain?", "reward_model": {"ground_truth": None}, "id": 3})
    assert [reading.line() for reading in _pool(tmp_path, rows).readings] == [
        "prompt: prompt (chat, JSON text in 3 rows; text in 1), answer: reward_model.ground_truth "
        "(list of one in 3 rows; nothing in 1); excluded: 1 missing_answer; "
        "the column id is not used as id: not unique"
    ]


@pytest.mark.parametrize("spec", ["", "/*.jsonl"])
def test_files_of_different_columns_in_one_folder(tmp_path, spec):
    first = [{"question": f"{n}+1?", "answer": str(n + 1)} for n in range(3)]
    second = [{"problem": f"{n}+2?", "solution": str(n + 2), "level": n} for n in range(3)]
    for name, rows in (("a", first[:2]), ("b", second), ("c", first[2:])):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    pool = read_pool(DataConfig(paths=(f"{tmp_path}{spec}",)))
    found = [(p["answer"], p["source_index"], p["source_row"]) for p in pool.problems]
    assert found == [
        ("1", 0, 0), ("2", 0, 1), ("3", 0, 2), ("2", 1, 0), ("3", 1, 1), ("4", 1, 2)
    ]  # fmt: skip
    assert [reading.columns.prompt for reading in pool.readings] == ["question", "problem"]
