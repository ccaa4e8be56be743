"""Recorded rollouts come back as they were, joined by id or by question, in any usual shape."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.config import ModelConfig, RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_tokenizer
from learnalign.rollouts.endings import Endings, turn_end
from learnalign.rollouts.imports.told import warnings
from learnalign.rollouts.recorded import RecordedEngine
from learnalign.tables import PROBLEMS


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(ModelConfig(path=str(smollm2)))


def _problems() -> pa.Table:
    rows = [
        {
            "problem_id": f"p{i}",
            "prompt": f"<chat>{i}?",
            "messages": [{"role": "user", "content": f"{i}?"}],
        }
        for i in range(3)
    ]
    return pa.Table.from_pylist(rows, schema=PROBLEMS)


def _engine(
    tmp_path: Path, rows: list[dict[str, Any]], tokenizer: Any, **options: Any
) -> RecordedEngine:
    path = tmp_path / "rollouts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return RecordedEngine(RolloutConfig(recorded=(path,), **options), tokenizer)


CHAT = [{"role": "user", "content": "2?"}]


@pytest.mark.parametrize(
    "rows",
    [
        [{"problem_id": "p2", "completion": t, "reward": r} for t, r in [("a", 0), ("bc", 1)]],
        [{"question": "2?", "responses": ["a", "bc"], "score": [False, True]}],
        [{"prompt": "<chat>2?", "output": ["a", "bc"], "scores": [0.0, 1.0]}],
        [
            {"prompt": CHAT, "completion": [{"role": "assistant", "content": t}], "reward": r}
            for t, r in [("a", 0), ("bc", 1)]
        ],
    ],
)
def test_usual_shapes(tmp_path: Path, rows: list[dict[str, Any]], tokenizer: Any) -> None:
    engine = _engine(tmp_path, rows, tokenizer)
    table = engine.sample(_problems())
    assert table["problem_id"].to_pylist() == ["p2", "p2"]
    assert table["completion"].to_pylist() == ["a", "bc"]
    assert table["recorded_reward"].to_pylist() == [0.0, 1.0]
    for text, ids in zip(("a", "bc"), table["token_ids"].to_pylist(), strict=True):
        assert tokenizer.decode(ids) == text + tokenizer.eos_token
    assert [name for name, _, _ in engine.failures] == ["p0", "p1"]


def test_token_ids_are_taken_and_lengths_told(tmp_path: Path, tokenizer: Any) -> None:
    """Only what the file says was cut, or what has exactly the maximum length without an end."""
    eos = tokenizer.eos_token_id
    exact = [([5, 6], "length"), ([5, 6, 7], None), ([5, 6, 7, 8], None), ([5, 6, 7, eos], None)]
    rows = [{"id": "p0", "token_ids": ids, "finish_reason": ended} for ids, ended in exact]
    three = " one two three"
    four = f"{three} four"
    texts = [(" one two", None), (three, None), (four, None), (four, "length")]
    texts += [(three + tokenizer.eos_token, None)]
    rows += [{"id": "p1", "completion": text, "finish_reason": ended} for text, ended in texts]
    engine = _engine(tmp_path, rows, tokenizer, max_tokens=3)
    table = engine.sample(_problems())
    assert table["token_ids"].to_pylist()[:4] == [ids for ids, _ in exact]
    assert [len(ids) for ids in table["token_ids"].to_pylist()[4:]] == [3, 3, 5, 4, 4]
    length, stop = "length", "stop"
    ends = [length, length, stop, stop, stop, length, stop, length, stop]
    assert table["finish_reason"].to_pylist() == ends
    assert table["recorded_reward"].null_count == 9
    assert engine.counts["recorded_longer"] == 3
    assert "3 of 9 recorded rollouts are longer than --max-tokens" in warnings(engine.counts)[0]


def test_groups_of_other_sizes(tmp_path: Path, tokenizer: Any) -> None:
    """The first of a large group, all of a small one, none of a single rollout; all are told."""
    sizes = {"p0": 5, "p1": 2, "p2": 1}
    rows = [{"id": n, "completion": f"{n} {g}"} for n, size in sizes.items() for g in range(size)]
    engine = _engine(tmp_path, rows, tokenizer, num_rollouts=3)
    assert engine.sample(_problems())["completion"].to_pylist() == [
        *("p0 0", "p0 1", "p0 2"), *("p1 0", "p1 1")]  # fmt: skip
    assert engine.failures == [
        ("p2", "too_few_rollouts", "1 recorded rollouts; a group needs 2")]  # fmt: skip
    told = warnings(engine.counts)
    assert "2 of 8 recorded rollouts are more than --num-rollouts of their problem" in told[0]
    assert told[-1].startswith("2 problems have fewer recorded rollouts than --num-rollouts")


def test_a_rollout_longer_than_the_context(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"id": "p0", "completion": "a", "token_ids": [5, 6, 7]}] * 2
    path = tmp_path / "rollouts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    engine = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer, context=2)
    with pytest.raises(LearnAlignError, match=r"line 1: prompt and response have 3 tokens"):
        engine.sample(_problems())


def test_a_rollouts_table_is_read_back(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"problem_id": "p0", "completion": t, "reward": 1.0} for t in ("a", "b")]
    table = _engine(tmp_path, rows, tokenizer).sample(_problems())
    path = tmp_path / "again.parquet"
    pq.write_table(table, path)
    again = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer).sample(_problems())
    assert again.equals(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": 1', "line 1: broken JSON"),
        ('{"id": "1", "txt": "a"}', "its columns are id, txt"),
        ('{"id": "1", "responses": ["a", "b"], "rewards": [1]}', "2 completions and 1 rewards"),
        (
            '{"id": "1", "responses": ["a", "b"], "reward": 0.5}',
            "2 completions and a single reward",
        ),
        ('{"id": "1", "completion": ["a"], "reward": [[1, 0]]}', r"line 1: the reward is \[1, 0\]"),
        ('{"id": "1", "completion": "a", "reward": "good"}', "line 1: the reward is 'good'"),
        ('{"id": "1", "completion": "a", "reward": {"a": 1, "b": 0}}', "recorded_reward=COLUMN"),
        ('{"id": "1", "completion": true}', "line 1: the completion is True"),
        ('{"id": "1", "token_ids": [3, -1]}', "line 1: token_ids contains -1"),
        ('{"id": "1", "token_ids": [3, 4.5]}', "line 1: token_ids contains 4.5"),
        ('{"id": "1", "token_ids": [3], "logprobs": [0.1, 0.2]}', "1 token_ids and 2 logprobs"),
        ('{"id": "1", "completion": null}', "no usable completion; 1 are empty"),
        ('\n{"id": "1", "completion": [3], "reward": "x"}', "row 1: the reward is 'x'"),
        ('{"id": "1", "traces": "none"}', "columns id, traces are those of prime-rl"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str, tokenizer: Any) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(LearnAlignError, match=message):
        RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)


def test_no_file(tokenizer: Any) -> None:
    with pytest.raises(LearnAlignError, match="--recorded"):
        RecordedEngine(RolloutConfig(), tokenizer)
    with pytest.raises(LearnAlignError, match="found no file"):
        RecordedEngine(RolloutConfig(recorded=(Path("no.jsonl"),)), tokenizer)
    with pytest.raises(LearnAlignError, match="is a pickle"):
        RecordedEngine(RolloutConfig(recorded=(Path("rollouts.pt"),)), tokenizer)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("correct", 1.0),
        ("Incorrect", 0.0),
        ("0.25", 0.25),
        ([0.5], 0.5),
        (True, 1.0),
        ({"accuracy": 1}, 1.0),
        ({"score": 0.5, "acc": 1, "pred": "7"}, 0.5),
        (None, None),
    ],
)
def test_rewards_in_any_form(tmp_path: Path, written: Any, read: Any, tokenizer: Any) -> None:
    rows = [{"id": "p0", "completion": t, "reward": written} for t in ("a", "b")]
    table = _engine(tmp_path, rows, tokenizer).sample(_problems())
    assert table["recorded_reward"].to_pylist() == [read, read]


def test_the_reward_that_is_named(tmp_path: Path, tokenizer: Any) -> None:
    rows = [
        {"id": "p0", "completion": "a", "reward": 9.0, "rewards": {"answer": 1.0, "form": 0.5}}
    ] * 2
    table = _engine(tmp_path, rows, tokenizer, recorded_reward="rewards.form").sample(_problems())
    assert table["recorded_reward"].to_pylist() == [0.5, 0.5]
    with pytest.raises(LearnAlignError, match=r"(?s)no column 'rewards.from'.*recorded_reward"):
        _engine(tmp_path, rows, tokenizer, recorded_reward="rewards.from")


def test_completions_that_are_none(tmp_path: Path, tokenizer: Any) -> None:
    """Null responses are left out with their rewards, and counted; a number is text."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "search"}]}
    rows = [
        {"id": "p0", "responses": ["a", None, 7], "rewards": [1, 0, 0.5]},
        {"id": "p0", "completion": None, "reward": 1},
        {"id": "p0", "completion": [call], "reward": 1},
        {"id": "p0", "completion": [{"role": "assistant", "content": [{"text": "b"}, "c"]}]},
    ]
    engine = _engine(tmp_path, rows, tokenizer, num_rollouts=3)
    table = engine.sample(_problems())
    assert table["completion"].to_pylist() == ["a", "7", "bc"]
    assert table["recorded_reward"].to_pylist() == [1.0, 0.5, None]
    assert [engine.counts[f"recorded_{kind}"] for kind in ("empty", "multi_turn")] == [2, 1]
    told = warnings(engine.counts)
    assert told[0].startswith("1 of 3 recorded rollouts have no reward: a verifier judges them")
    assert told[-2].startswith("2 recorded completions are empty or null and were left out")
    assert told[-1].startswith("1 recorded rollouts have several turns or use tools and were left")


def test_attempts_that_failed_are_not_wrong(tmp_path: Path, tokenizer: Any) -> None:
    """An error, an empty text: left out. A measure called error is none; tokens are a response."""
    errors = ["Timeout", {"type": "Overlong"}, ["x"], True, "none", "", None, 0.3, [], False]
    rows = [{"id": "p0", "completion": f"{n}", "reward": 0, "error": error}
            for n, error in enumerate(errors)]  # fmt: skip
    rows += [{"id": "p0", "completion": text, "reward": 0} for text in ("", " \n", [], None)]
    rows += [{"id": "p0", "completion": "", "token_ids": [2], "reward": 0}]
    engine = _engine(tmp_path, rows, tokenizer, num_rollouts=9)
    table = engine.sample(_problems())
    assert table["completion"].to_pylist() == [*"456789", ""]
    assert [engine.counts[f"recorded_{kind}"] for kind in ("failed", "empty")] == [4, 4]


def test_a_reward_that_is_no_number_is_counted(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"id": "p0", "completion": "a", "reward": r} for r in (1.0, float("nan"), "-inf")]
    engine = _engine(tmp_path, rows, tokenizer)
    table = engine.sample(_problems())
    assert table.num_rows == 3
    assert engine.counts["recorded_nonfinite"] == 2
    assert "2 of 3 recorded rollouts have a reward that is NaN" in warnings(engine.counts)[0]


def test_tokens_of_another_model(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"id": "p0", "completion": "a", "token_ids": [5, 60_000]}] * 2
    with pytest.raises(LearnAlignError, match="line 1: token id 60000 is not among the model's"):
        _engine(tmp_path, rows, tokenizer).sample(_problems())
    config = RolloutConfig(recorded=(tmp_path / "rollouts.jsonl",))
    known = RecordedEngine(config, tokenizer, vocabulary=60_001).sample(_problems())
    assert known["token_ids"].to_pylist() == [[5, 60_000]] * 2


def test_half_a_character_is_replaced(tmp_path: Path, tokenizer: Any) -> None:
    """Wherever it is; whole pairs stay, and the table can be written."""
    half = "\ud83d"
    rows = [
        {"question": "2?", "completion": f"a{half}"},
        {
            "id": "p2",
            "question": f"{half}?",
            "completion": [{"role": "assistant", "content": half}],
        },
        {"question": "2?", "completion": "\U0001f600", "model": half},
        {"question": "2?", "completion": "whole"},
    ]
    engine = _engine(tmp_path, rows, tokenizer, num_rollouts=2)
    table = engine.sample(_problems())
    assert table["completion"].to_pylist() == ["a\ufffd", "\U0001f600"]
    pq.write_table(table, tmp_path / "table.parquet")
    assert "3 recorded rows have half a character" in " ".join(warnings(engine.counts))


# --- what ends a response


@pytest.fixture
def base(smollm2: Path) -> Any:
    """A tokenizer whose eos never ends a turn, as many models have it."""
    found = load_tokenizer(ModelConfig(path=str(smollm2)))
    found.eos_token = "<|endoftext|>"
    return found


def _last(tmp_path: Path, tokenizer: Any, completion: str, **more: Any) -> list[str]:
    rows = [{"id": "p0", "completion": completion}] * 2
    path = tmp_path / "rollouts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    config = RolloutConfig(recorded=(path,))
    row = RecordedEngine(config, tokenizer, **more).sample(_problems()).to_pylist()[0]
    assert row["completion"] == "so 4"
    return tokenizer.convert_ids_to_tokens(row["token_ids"])[len(tokenizer.tokenize("so 4")) :]


def test_the_turns_end_follows_a_text(tmp_path: Path, base: Any) -> None:
    assert _last(tmp_path, base, "so 4") == ["<|im_end|>"]
    # Written down with its special tokens: not a second time.
    assert _last(tmp_path, base, "so 4<|im_end|>\n") == ["<|im_end|>"]
    assert _last(tmp_path, base, "so 4<|endoftext|>") == ["<|endoftext|>"]
    # A template of the user's own writes no turns.
    assert _last(tmp_path, base, "so 4", endings=Endings(base, chat=False)) == ["<|endoftext|>"]


def test_a_text_without_any_end(tmp_path: Path, base: Any) -> None:
    base.chat_template, base.eos_token = None, None
    assert _last(tmp_path, base, "so 4") == []
    others = [2, 10**6]  # a generation config may name what the tokenizer does not know
    assert _last(tmp_path, base, "so 4", endings=Endings(base, others=others)) == ["<|im_end|>"]


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (
            "{% for m in messages %}<start>{{ m.content }}<end_of_turn>\n{% endfor %}",
            "<end_of_turn>",
        ),
        ("{% for m in messages %}[{{ m.content }}] <|eot_id|>{% endfor %}", "<|eot_id|>"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", None),
        ("{{ raise_exception('no') }}", None),
    ],
)
def test_the_turns_end_of_a_template(base: Any, template: str, end: str | None) -> None:
    base.add_special_tokens({"additional_special_tokens": ["<end_of_turn>", "<|eot_id|>"]})
    base.chat_template = template
    assert turn_end(base) == (None if end is None else base.convert_tokens_to_ids(end))
