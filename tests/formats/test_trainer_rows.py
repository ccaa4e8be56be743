"""Rows for other trainers, read as the trainers' own sources read them."""

import json
from typing import Any

import datasets
import pyarrow as pa
import pytest

from helpers.exports import PREFIXED, problem
from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.formats.trainers.registry import TRAINERS, table
from learnalign.problems.pool import read_pool

ROOM = {"openrlhf", "open-instruct", "nemo-gym", "verifiers", "slime", "skyrl", "areal"}


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


#: Each format's own row of a question with the gold 4, as the trainer's docs or tests show it.
OWN: dict[str, dict[str, Any]] = {
    "openrlhf": {"input": "2+2?", "label": "4", "datasource": "sums", "extra": [1, 2]},
    "open-instruct": {"messages": chat("2+2?"), "ground_truth": "4", "dataset": "gsm8k", "n": 1.5},
    "nemo-rl": {"input": "2+2?", "output": "4", "level": 3},
    "nemo-gym": {
        "responses_create_params": {"input": chat("2+2?"), "temperature": 1.0},
        "agent_ref": {"type": "responses_api_agents", "name": "mine"},
        "question": "2+2?",
        "expected_answer": "4",
    },
    "verifiers": {"prompt": chat("2+2?"), "answer": "4", "info": {"level": 3}},
    "slime": {"prompt": chat("2+2?"), "label": "4", "metadata": {"rm_type": "math"}},
    "skyrl": {
        "prompt": chat("2+2?"),
        "env_class": "gsm8k",
        "reward_spec": {"method": "rule", "ground_truth": "4"},
        "extra_info": {"index": 3},
    },
    "areal": {"messages": chat("2+2?"), "answer": "4", "level": 1},
    "rllm": {"question": "2+2?", "ground_truth": "4", "data_source": "sums", "uid": "x"},
}


def read(kind: str, row: dict[str, Any]) -> tuple[Any, Any]:
    """Return prompt and gold of a row, with the statements of each trainer's loader."""
    if kind == "openrlhf":  # openrlhf/datasets/prompts_dataset.py, preprocess_data and __init__
        row.get("datasource", "default")
        prompt = row["input"]
        return (chat(prompt) if isinstance(prompt, str) else prompt), row["label"]
    if kind == "open-instruct":  # open_instruct/dataset_transformation.py, rlvr_tokenize_v3
        prompt, gold, verifier = row["messages"], row["ground_truth"], row["dataset"]
        assert len(prompt) > 0
        assert not isinstance(verifier, list) or len(verifier) == len(gold)
        return prompt, gold
    if kind == "nemo-rl":  # nemo_rl response_dataset.py, format_data, and math_hf_data_processor
        messages = [*chat(row["input"]), {"role": "assistant", "content": row["output"]}]
        return chat(messages[0]["content"]), messages[1]["content"]
    if kind == "nemo-gym":  # nemo_gym/rollout_collection.py, and math_with_judge's request
        assert row["agent_ref"]["name"]
        assert isinstance(row["question"], str)
        return row["responses_create_params"]["input"], row["expected_answer"]
    if kind == "slime":  # slime/utils/data.py, _build_messages and Dataset
        assert isinstance(row.get("metadata") or {}, dict)
        return row["prompt"], row["label"]
    if kind == "skyrl":  # skyrl/train/dataset/dataset.py, and the environments' assertions
        assert row["env_class"]
        assert "reward_spec" in row
        assert "ground_truth" in row["reward_spec"]
        return row["prompt"], str(row["reward_spec"]["ground_truth"])
    if kind == "rllm":  # rllm/data/dataset.py, _wrap_rows_as_tasks
        instruction = row.get("instruction") or row.get("question") or ""
        return chat(str(instruction)), row["ground_truth"]
    key = "prompt" if kind == "verifiers" else "messages"
    return row[key], row["answer"]


def rows_of(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.paths[0].read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("kind", TRAINERS)
def test_rows_are_built_as_the_trainer_reads_them(run, kind):
    done, _ = run(kind)
    rows = rows_of(done)
    assert [read(kind, row) for row in rows] == [
        (chat(f"what is {place}é?"), str(place)) for place in (7, 2, 5, 0)
    ]
    for row, place in zip(rows, (7, 2, 5, 0), strict=True):
        assert row.keys() >= PREFIXED
        assert json.loads(row["learnalign_row"]) == {
            "question": f"what is {place}é?", "answer": str(place)
        }  # fmt: skip
    loaded = datasets.load_dataset(
        "json", data_files=str(done.paths[0]), split="train", cache_dir=str(done.paths[0].parent)
    )
    assert [read(kind, row) for row in loaded] == [read(kind, row) for row in rows]


@pytest.mark.parametrize("kind", TRAINERS)
def test_own_rows_go_out_as_they_came(run, kind):
    rows = [problem(4, OWN[kind], messages=chat("2+2?"), prompt="2+2?")]
    (line,) = run(kind, rows, selected=(4,))[0].paths[0].read_text().splitlines()
    assert line.startswith(json.dumps(OWN[kind])[:-1])  # the text itself, ours after it
    found = json.loads(line)
    assert {name: found[name] for name in OWN[kind]} == OWN[kind]
    assert found.keys() - OWN[kind].keys() == PREFIXED | {"learnalign_prompt"}
    assert TRAINERS[kind].recognises(OWN[kind])


@pytest.mark.parametrize("kind", TRAINERS)
def test_own_rows_from_parquet_keep_their_values(run, kind):
    rows = [problem(4, OWN[kind], source_row=0, messages=chat("2+2?"), prompt="2+2?")]
    originals = {0: pa.Table.from_pylist([OWN[kind]])}
    (found,) = rows_of(run(kind, rows, selected=(4,), originals=originals)[0])
    assert {name: found[name] for name in OWN[kind]} == OWN[kind]


@pytest.mark.parametrize("kind", TRAINERS)
def test_another_gold_replaces_the_rows(run, kind):
    rows = [problem(4, OWN[kind], answer="5", messages=chat("2+2?"), prompt="2+2?")]
    done, _ = run(kind, rows, selected=(4,))
    (found,) = rows_of(done)
    assert read(kind, found)[1] == "5"
    assert found[f"learnalign_own_{TRAINERS[kind].gold[-1]}"] == "4"
    assert any("was not the gold" in text for text in done.warnings)
    kept, _ = run(kind, rows, selected=(4,), overwrite_gold=False, out="kept")
    assert read(kind, rows_of(kept)[0])[1] == "4"


@pytest.mark.parametrize("kind", sorted(ROOM))
def test_the_scored_prompt_replaces_the_rows(run, kind):
    rows = [problem(4, OWN[kind], messages=chat("2+2?"))]
    rows.append(problem(5, {"question": "3+2?", "answer": "5"}, messages=chat("3+2?")))
    system = {"role": "system", "content": "Be brief."}
    done, _ = run(
        kind, rows, selected=(4, 5), add_instructions=lambda chat_, _row: [system, *chat_]
    )
    found = [read(kind, row)[0] for row in rows_of(done)]
    assert found == [[system, *chat("2+2?")], [system, *chat("3+2?")]]


@pytest.mark.parametrize("kind", sorted(TRAINERS.keys() - ROOM))
def test_a_conversation_is_refused_where_the_prompt_is_a_text(run, kind):
    turns = [*chat("2+2?"), {"role": "assistant", "content": "4"}, *chat("and 3?")]
    rows = [problem(7, {"turns": turns, "gold": "7"}, messages=turns)]
    with pytest.raises(LearnAlignError, match=r"user, assistant, user.*\n.*one user message"):
        run(kind, rows, selected=(7,))


@pytest.mark.parametrize("kind", sorted(ROOM))
def test_a_conversation_goes_through_whole(run, kind):
    turns = [*chat("2+2?"), {"role": "assistant", "content": "4"}, *chat("and 3?")]
    rows = [problem(7, {"turns": turns, "gold": "7"}, messages=turns)]
    assert read(kind, rows_of(run(kind, rows, selected=(7,))[0])[0]) == (turns, "7")


def test_the_hint_says_how_it_is_read(run):
    assert any("--data.label_key label" in hint for hint in run("openrlhf")[0].hints)


def test_code_problems_are_told_where_rows_are_built_for_mathematics(run):
    one = problem(0, {"tests": ["assert f(1) == 2"]}, answer='["assert f(1) == 2"]')
    done, _ = run("open-instruct", [one], selected=(0,))
    assert any("verifier of programs in open-instruct" in text for text in done.warnings)
    done, _ = run("open-instruct", selected=(0,), out="sums")
    assert not any("programs" in text for text in done.warnings)


def test_the_docs_table_is_the_codes(request):
    page = request.config.rootpath / "docs" / "guides" / "export.md"
    assert table() in page.read_text(encoding="utf-8")


def test_formats_do_not_take_each_others_rows_for_their_own():
    """Only where two formats read the same columns."""
    same = {("verifiers", "slime"), ("skyrl", "verifiers")}
    for kind, form in TRAINERS.items():
        for other, row in OWN.items():
            if kind != other and (kind, other) not in same:
                assert not form.recognises(row), (kind, other)


@pytest.mark.parametrize("kind", TRAINERS)
def test_own_rows_are_recognised_when_read(kind, tmp_path):
    rows = [json.loads(json.dumps(OWN[kind]).replace("2+2", f"{n}+{n}")) for n in (2, 3, 4)]
    for row, gold in zip(rows, ("4", "6", "8"), strict=True):
        place = row
        for name in TRAINERS[kind].gold[:-1]:
            place = place[name]
        place[TRAINERS[kind].gold[-1]] = gold
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pool = read_pool(DataConfig(paths=(str(path),)))
    found = [(each["messages"], each["answer"]) for each in pool.problems]
    assert found == [(chat(f"{n}+{n}?"), str(2 * n)) for n in (2, 3, 4)]


def test_an_output_with_a_reward_is_not_a_gold(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"input": "2+2?", "output": "It is 5.", "score": 0.0}\n', encoding="utf-8")
    with pytest.raises(LearnAlignError, match="is the answer: no known name"):
        read_pool(DataConfig(paths=(str(path),)))
