"""Recorded rows find their problems: by id where that is one, else by what the model was asked."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from learnalign.config import ModelConfig, PromptConfig, RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_tokenizer
from learnalign.problems.prompts import Prompter
from learnalign.rollouts.imports.told import warnings
from learnalign.rollouts.recorded import RecordedEngine
from learnalign.tables import PROBLEMS

CHAT = {"role": "user"}
QUESTIONS = {f"q{i}": f"What is {i} times {i + 3}?" for i in range(6)}


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(ModelConfig(path=str(smollm2)))


@pytest.fixture(scope="module")
def pool(tokenizer: Any) -> pa.Table:
    prompter = Prompter(tokenizer, PromptConfig(system="Think it over."))
    rows = []
    for name, question in QUESTIONS.items():
        messages = [{"role": "user", "content": question}]
        prompt, ids = prompter(messages, "{}")
        rows.append({"problem_id": name, "messages": messages, "prompt": prompt, "prompt_ids": ids})
    return pa.Table.from_pylist(rows, schema=PROBLEMS)


def _rows(pool: pa.Table, keys: Any) -> list[dict[str, Any]]:
    """Two rollouts of each problem, which say whose they are."""
    return [
        {**keys(number, problem), "output": f"{problem['problem_id']}, {take}", "score": take}
        for number, problem in enumerate(pool.to_pylist())
        for take in (0, 1)
    ]


def _engine(folder: Path, rows: list[dict[str, Any]], tokenizer: Any, **more: Any):
    path = folder / "rollouts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    config = RolloutConfig(recorded=(path,), num_rollouts=2)
    return RecordedEngine(config, tokenizer, **more)


def _whose(engine: RecordedEngine, pool: pa.Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in engine.sample(pool).to_pylist():
        found.setdefault(row["problem_id"], []).append(row["completion"])
    return found


def _told(engine: RecordedEngine) -> list[str]:
    """What is told, without what is told of all text."""
    return [text for text in warnings(engine.counts) if "without token ids" not in text]


EACH = {name: [f"{name}, 0", f"{name}, 1"] for name in QUESTIONS}


def test_a_prompt_without_its_special_tokens(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    """As verl writes it down: decoded with skip_special_tokens, padding on the left."""

    def keys(number: int, problem: dict[str, Any]) -> dict[str, Any]:
        padded = [tokenizer.pad_token_id] * 5 + problem["prompt_ids"]
        return {"input": tokenizer.decode(padded, skip_special_tokens=True), "step": 1}

    engine = _engine(tmp_path, _rows(pool, keys), tokenizer)
    assert _whose(engine, pool) == EACH
    assert _told(engine) == []


@pytest.mark.parametrize("column", ["prompt", "prompt_ids", "messages"])
def test_a_whole_prompt(tmp_path: Path, pool: pa.Table, tokenizer: Any, column: str):
    to = {"messages": "prompt"}.get(column, column)
    engine = _engine(tmp_path, _rows(pool, lambda _, p: {to: p[column]}), tokenizer)
    assert _whose(engine, pool) == EACH


def test_a_prompt_with_its_padding_or_without_its_first_token(
    tmp_path: Path, pool: pa.Table, tokenizer: Any
):
    def keys(number: int, problem: dict[str, Any]) -> dict[str, Any]:
        ids = [0] * 3 + problem["prompt_ids"] if number % 2 else problem["prompt_ids"][1:]
        return {"prompt": tokenizer.decode(ids)}

    assert _whose(_engine(tmp_path, _rows(pool, keys), tokenizer), pool) == EACH


@pytest.mark.parametrize("unrelated", ["row-{}", "q{}"])
def test_an_unrelated_id(tmp_path: Path, pool: pa.Table, tokenizer: Any, unrelated: str):
    """A column that counts the rows, even where its values are other problems' ids."""
    rows = _rows(pool, lambda i, p: {"id": unrelated.format(5 - i), "input": p["prompt"]})
    engine = _engine(tmp_path, rows, tokenizer)
    assert _whose(engine, pool) == EACH
    disagreed = 0 if unrelated == "row-{}" else 12
    assert engine.counts["recorded_disagreed"] == disagreed
    assert len(_told(engine)) == (disagreed > 0)


def test_an_id_counts_where_prompts_cannot_be_found(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    rows = _rows(pool, lambda i, p: {"problem_id": p["problem_id"], "prompt": f"Another: {i}"})
    assert _whose(_engine(tmp_path, rows, tokenizer), pool) == EACH


def test_equal_questions_are_told_apart_by_the_whole_prompt(
    tmp_path: Path, pool: pa.Table, tokenizer: Any
):
    second = pool.to_pylist()[0] | {"problem_id": "other", "prompt": "Otherwise: 0 times 3?"}
    second["prompt_ids"] = tokenizer(second["prompt"])["input_ids"]
    both = pa.concat_tables([pool, pa.Table.from_pylist([second], schema=PROBLEMS)])
    rows = _rows(both, lambda _, p: {"prompt": p["prompt"]})
    assert _whose(_engine(tmp_path, rows, tokenizer), both) == EACH | {
        "other": ["other, 0", "other, 1"]
    }
    rows = _rows(both, lambda _, p: {"question": p["messages"][-1]["content"]})
    engine = _engine(tmp_path, rows, tokenizer)
    assert set(_whose(engine, both)) == set(QUESTIONS) - {"q0"}
    assert _told(engine)[0].startswith(
        "4 of 14 recorded rollouts have a prompt that several problems share"
    )


def test_rows_that_match_nothing(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    rows = _rows(pool, lambda i, p: {"id": 100 + i, "prompt": f"Q: {i}", "step": 2})[::2]
    with pytest.raises(LearnAlignError) as raised:
        _engine(tmp_path, rows, tokenizer).sample(pool)
    for part in (
        "0 of 6 rows match",
        "id '100'",
        "'Q: 0'",
        "line 1",
        "'q0'",
        QUESTIONS["q0"],
        "Think it over.",
    ):
        assert part in str(raised.value)


def test_the_whole_pool_decides_whose_a_row_is(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    """Shard by shard the same as at once, and what is to be told is told once."""
    rows = _rows(pool, lambda i, p: {"id": f"q{(i + 3) % 6}", "prompt": p["prompt"]})
    rows += [{"id": "gone", "output": "x"}, {"id": "gone", "output": None}]
    shards = [pool.slice(0, 2), pool.slice(2, 3), pool.slice(5)]
    engine = _engine(tmp_path, rows, tokenizer, pool=lambda: iter(shards))
    parts = [engine.sample(shard) for shard in shards]
    assert engine.counts["recorded_disagreed"] == 12
    assert engine.counts["recorded_unmatched"] == 1
    assert engine.counts["recorded"] == 13
    assert engine.counts["recorded_empty"] == 1
    whole = _engine(tmp_path, rows, tokenizer).sample(pool)
    assert pa.concat_tables(parts).equals(whole)
    # In rounds, the later samples of a problem say it no second time.
    engine.sample(pool, samples=range(1, 2))
    assert engine.counts["recorded_disagreed"] == 12


def test_the_newest_step_counts(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    rows = [
        {"problem_id": "q0", "output": f"{step}{take}", "step": step}
        for step in (20, 30, 10)
        for take in "ab"
    ]
    rows += [{"problem_id": "q1", "output": take, "step": 10} for take in "cd"]
    engine = _engine(tmp_path, rows, tokenizer)
    assert _whose(engine, pool) == {"q0": ["30a", "30b"], "q1": ["c", "d"]}
    assert _told(engine) == [
        "4 of 8 recorded rollouts are from earlier steps: only each problem's newest are used",
        "2 of 8 recorded rollouts are used though a later step is recorded: it did not sample "
        "their problems",
    ]


def test_a_prompt_that_is_written_otherwise(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    """Case, blanks and sentence punctuation aside; an id of another problem is told."""
    rows = _rows(pool, lambda i, p: {"question": f" what IS\n{i} times {i + 3} "})
    engine = _engine(tmp_path, rows, tokenizer)
    assert _whose(engine, pool) == EACH
    assert engine.counts["recorded_normalised"] == 12
    assert "12 of 12 recorded rollouts match a problem by their prompt if case" in _told(engine)[0]
    rows = _rows(pool, lambda i, p: {"problem_id": "q5", "question": f"what is {i} times {i + 3}"})
    engine = _engine(tmp_path, rows, tokenizer)
    assert _whose(engine, pool) == EACH
    assert engine.counts["recorded_normalised"] == 12
    assert engine.counts["recorded_disagreed"] == 10


_OTHER = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"


@pytest.mark.parametrize(
    ("form", "is_other"),
    [
        (lambda q: [{"role": "system", "content": "Be brief."}, CHAT | {"content": q}], True),
        (lambda q: [{"role": "system", "content": "Think it over."}, CHAT | {"content": q}], False),
        (lambda q: json.dumps([CHAT | {"content": "Hi"}, {"role": "assistant", "content": "Hi!"},
                               CHAT | {"content": q}]), True),
        (lambda q: json.dumps([CHAT | {"content": q}, CHAT | {"role": "assistant"}]), False),
        (lambda q: [CHAT | {"content": [{"type": "text", "text": q}]}], False),
        (lambda q: f"system\nBe brief.\nuser\n{q}\nassistant\n", True),
        (lambda q: f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n", True),
        (lambda q: f"<s>[INST] {q} [/INST]", True),
        (lambda q: f"<bos><start_of_turn>user\n{q}<end_of_turn>\n<start_of_turn>model\n", True),
        (lambda q: f"<\uff5cUser\uff5c>{q}<\uff5cAssistant\uff5c><think>\n", True),
        (lambda q: _OTHER.format("system", "Be brief.") + _OTHER.format("user", q)
         + "<|start_header_id|>assistant<|end_header_id|>\n\n", True),
        (lambda q: f"<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHi!<|im_end|>\n"
                   f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n", True),
    ],
)  # fmt: skip
def test_prompts_as_conversations(
    tmp_path: Path, pool: pa.Table, tokenizer: Any, form: Any, is_other: bool
):
    """Of other templates than the run's, with and without special tokens, as messages and text."""
    rows = _rows(pool, lambda i, p: {"prompt": form(QUESTIONS[p["problem_id"]])})
    engine = _engine(tmp_path, rows, tokenizer)
    assert _whose(engine, pool) == EACH
    assert engine.counts["recorded_other_chat"] == 12 * is_other


def test_ids_of_other_problems(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    """Every tenth row's id is wrong: its prompt decides, and no row without one goes by the id."""
    rows = _rows(pool, lambda i, p: {"id": p["problem_id"], "prompt": p["prompt"]})
    rows[3]["id"] = "q4"
    rows.append({"id": "q2", "output": "without a prompt", "score": 1})
    engine = _engine(tmp_path, rows, tokenizer)
    assert _whose(engine, pool) == EACH
    assert _told(engine) == [
        "1 of 13 recorded rollouts match no problem of the pool and were left out",
        "1 of 13 recorded rollouts have the id of one problem and the prompt of another: the "
        "prompt decided",
    ]


def test_prompts_of_no_problem(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    """An id counts where other prompts confirm the column; row numbers alone are no evidence."""
    rows = _rows(pool, lambda i, p: {"id": p["problem_id"], "prompt": f"Unknown {i}"})
    with pytest.raises(LearnAlignError, match=r"(?s)0 of 12 rows.*Unknown 0.*a column problem_id"):
        _engine(tmp_path, rows, tokenizer).sample(pool)
    rows[0]["prompt"] = QUESTIONS["q0"]
    engine = _engine(tmp_path, rows, tokenizer)
    assert _whose(engine, pool) == EACH
    assert _told(engine) == [
        "11 of 12 recorded rollouts have a prompt that is in no problem: their id decided"
    ]


def test_an_id_among_problems_that_share_a_prompt(tmp_path: Path, tokenizer: Any):
    same = [{"role": "user", "content": "Solve it."}]
    table = pa.Table.from_pylist(
        [{"problem_id": name, "prompt": "Solve it.", "messages": same} for name in ("a", "b")]
        + [{"problem_id": "c", "prompt": "Other?", "messages": [CHAT | {"content": "Other?"}]}],
        schema=PROBLEMS,
    )
    written = [{"id": name, "prompt": "Solve it.", "output": name} for name in ("b", "a", "zz")]
    engine = _engine(tmp_path, written * 2, tokenizer)
    assert _whose(engine, table) == {"a": ["a", "a"], "b": ["b", "b"]}
    assert engine.counts["recorded_ambiguous"] == 2
    written[0]["id"] = "c"  # contradicted: the column is no evidence
    with pytest.raises(LearnAlignError, match="0 of 3 rows match"):
        _engine(tmp_path, written, tokenizer).sample(table)


def test_a_sign_is_no_punctuation(tmp_path: Path, tokenizer: Any):
    """3 - 2 and 3 + 2 are different questions, 3.5 and 35 too."""
    texts = {"a": "What is 3 - 2?", "b": "What is 3.5?"}
    rows = [
        {
            "problem_id": name,
            "prompt": f"Q: {text}",
            "messages": [{"role": "user", "content": text}],
        }
        for name, text in texts.items()
    ]
    table = pa.Table.from_pylist(rows, schema=PROBLEMS)
    asked = ["what is 3 - 2", "What is 3 + 2?", "What is 35?", "what is 3.5"]
    written = [{"question": text, "output": text} for text in asked for _ in range(2)]
    engine = _engine(tmp_path, written, tokenizer)
    found = {name: set(group) for name, group in _whose(engine, table).items()}
    assert found == {"a": {"what is 3 - 2"}, "b": {"what is 3.5"}}
    assert engine.counts["recorded_unmatched"] == 4


def test_questions_that_normalise_alike_are_not_guessed_between(tmp_path: Path, tokenizer: Any):
    texts = {"a": "Is it so?", "b": "is it so", "c": "Is it?"}
    rows = [
        {"problem_id": name, "prompt": text, "messages": [CHAT | {"content": text}]}
        for name, text in texts.items()
    ]
    table = pa.Table.from_pylist(rows, schema=PROBLEMS)
    written = [
        {"question": text, "output": text} for text in ("IS IT SO", "is it", "Is it so?")
    ] * 2
    engine = _engine(tmp_path, written, tokenizer)
    assert _whose(engine, table) == {"a": ["Is it so?"] * 2, "c": ["is it"] * 2}
    assert (engine.counts["recorded_ambiguous"], engine.counts["recorded_normalised"]) == (2, 2)


def test_a_copy_is_read_once(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    """The same path twice, its folder as well, and a copy of another name."""
    (tmp_path / "dump").mkdir()
    path = tmp_path / "dump" / "rollouts.jsonl"
    path.write_text("\n".join(map(json.dumps, _rows(pool, lambda _, p: {"prompt": p["prompt"]}))))
    (tmp_path / "dump" / "copy.jsonl").write_bytes(path.read_bytes())
    paths = (path, tmp_path / "dump", path)
    config = RolloutConfig(recorded=paths, num_rollouts=2)
    engine = RecordedEngine(config, tokenizer)
    assert _whose(engine, pool) == EACH
    assert _told(engine) == ["3 files are copies of others, byte for byte, and were left out"]


def test_what_another_policy_sampled_is_counted(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    more: list[dict[str, Any]] = [
        {"model": "org/base"}, {"model": "org/other"}, {}, {"temperature": 0.6}, {"top_p": 0.9},
        {"temperature": 1.0, "top_p": 1.0, "model": "base"},
    ]  # fmt: skip
    rows = _rows(pool, lambda i, p: {"prompt": p["prompt"], **more[i]})
    engine = _engine(tmp_path, rows, tokenizer, model="runs/base")
    assert _whose(engine, pool) == EACH
    assert _told(engine) == [
        "2 of 12 recorded rollouts were sampled by a model of another name than the run's",
        "4 of 12 recorded rollouts were sampled with another temperature or top_p than the run's",
    ]


def test_thinking_apart_from_the_text_is_counted(tmp_path: Path, pool: pa.Table, tokenizer: Any):
    """In a message, in a column and as NeMo-Gym's part; none if it is empty or in the tokens."""
    rows = _rows(pool, lambda i, p: {"prompt": p["prompt"]})
    for row in rows[:4]:
        message = {"role": "assistant", "content": row["output"], "reasoning_content": "Hm."}
        row["output"] = [message]
    rows[1]["output"][0]["reasoning_content"] = ""
    rows[2] |= {"token_ids": [1, 2]}
    rows[4]["reasoning_content"] = "Hm."
    for i, thought in ((5, "Hm."), (6, "")):
        parts = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": thought}]}]
        text = {"type": "output_text", "text": rows[i].pop("output")}
        parts.append({"type": "message", "role": "assistant", "content": [text]})
        chat = [CHAT | {"content": QUESTIONS[pool["problem_id"][i // 2].as_py()]}]
        rows[i] = {"responses_create_params": {"input": chat}, "reward": rows[i]["score"]}
        rows[i]["response"] = {"output": parts}
    engine = _engine(tmp_path, rows, tokenizer)
    engine.sample(pool)
    assert engine.counts["recorded_reasons_apart"] == 4
    assert sum("their thinking apart from the text" in text for text in _told(engine)) == 1
