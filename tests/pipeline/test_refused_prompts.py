"""A chat template that does not take one row's messages costs that row, not the run."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import learnalign
from helpers.digits import OPTIONS, digits_model
from learnalign import load_config
from learnalign.errors import LearnAlignError
from learnalign.workflows.estimate import estimate

#: As Gemma's: it knows no system role.
TEMPLATE = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{{ messages[0].content }}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = digits_model(tmp_path_factory.mktemp("models") / "strict")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def _data(folder: Path, with_system: set[int]) -> Path:
    rows = []
    for n in range(5):
        system = [{"role": "system", "content": "1"}] if n in with_system else []
        chat = [*system, {"role": "user", "content": f"{n}+1="}]
        rows.append({"id": f"sum-{n}", "prompt": chat, "answer": str(n + 1)})
    path = folder / "sums.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_one_row_is_set_aside(model: Path, tmp_path: Path) -> None:
    data = _data(tmp_path, {3})
    options = {n: v for n, v in OPTIONS.items() if n != "prompt.template"}
    done = learnalign.select(
        str(model), str(data), budget=2, out=tmp_path / "run", options=options, progress="none"
    )
    (gone,) = [r for r in done.excluded.to_pylist() if r["stage"] == "problems"]
    assert (gone["problem_id"], gone["source_row"]) == ("sum-3", 3)
    assert gone["reason"] == "template_refused"
    assert "(system, user): System role not supported" in gone["detail"]
    assert done.scores.num_rows == 4
    assert any("the chat template rejects" in text for text in done.summary["warnings"])
    config = load_config(overrides=options | {"model.path": str(model), "data.paths": (str(data),)})
    assert estimate(config)["mean_prompt_tokens"] == 4


def test_no_row_is_left(model: Path, tmp_path: Path) -> None:
    data = _data(tmp_path, set(range(5)))
    options = {n: v for n, v in OPTIONS.items() if n != "prompt.template"}
    with pytest.raises(LearnAlignError, match="System role not supported"):
        learnalign.select(
            str(model), str(data), budget=2, out=tmp_path / "run", options=options, progress="none"
        )


def test_a_row_that_the_users_own_template_does_not_fit_is_named(
    model: Path, tmp_path: Path
) -> None:
    data = tmp_path / "sums.jsonl"
    rows = [{"id": n, "question": f"{n}+1=", "answer": "1", "hint": "2"} for n in range(3)]
    del rows[1]["hint"]
    data.write_text("\n".join(map(json.dumps, rows)))
    options = OPTIONS | {"prompt.template": "{{ row.hint }}{{ question }}"}
    with pytest.raises(
        LearnAlignError, match=r"problem 1 \(row 2\): --template cannot be rendered"
    ):
        learnalign.select(
            str(model), str(data), budget=2, out=tmp_path / "run", options=options, progress="none"
        )
