"""Whatever can change a table changes its fingerprint; what only changes the time does not."""

from pathlib import Path
from typing import Any

import pytest

from learnalign.config import Config, TrainingConfig
from learnalign.pipeline import order
from learnalign.pipeline.fingerprints import pool_options, training_options, weights_digest
from learnalign.pipeline.stages import STAGES
from learnalign.runs.fingerprints import differences, fingerprint

#: Options that change when and where the work is done, or what is done after the tables.
HARMLESS = {
    "model.device",
    "rollouts.token_budget",
    "rollouts.cuda_graphs",
    "verifier.workers",
    "gradients.token_budget",
    "gradients.attention",
    "server.url",
    "server.concurrency",
    "server.timeout_s",
    "server.attempts",
    "server.api_key_variable",
    "vllm.tensor_parallel_size",
    "vllm.gpu_memory_utilization",
    "run.out",
}
FIELDS = [
    (section, name)
    for section, part in Config()
    for name in type(part).model_fields
    if section not in ("selection", "training", "stages", "cluster")
]
#: Some options only count beside others.
PLAIN = Config.model_validate(
    {
        "rollouts": {"reuse": "a-training", "spend": "auto"},
        "gradients": {"kl_beta": 0.1, "reference": "owner/base"},
    }
)


def stage_options(config: Config, stage: str) -> dict[str, Any]:
    return order.stage_options(config, [stage])[stage]


def _stages(config: Config) -> list[str]:
    return [name for name, stage in STAGES.items() if stage.part_of_run(config)]


def _other(value: Any) -> Any:
    """Give some other value; what it means is no matter, so nothing is validated."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple):
        return (*value, "another")
    if isinstance(value, dict):
        return {**value, "another": 1}
    if isinstance(value, Path):
        return Path("another")
    return "another"


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(("section", "name"), FIELDS, ids=[".".join(f) for f in FIELDS])
def test_every_option_counts_unless_it_is_harmless(section: str, name: str) -> None:
    plain = PLAIN
    if section in ("server", "vllm"):  # these only count beside their engine
        rollouts = PLAIN.rollouts.model_copy(update={"engine": section})
        plain = PLAIN.model_copy(update={"rollouts": rollouts})
    part = getattr(plain, section)
    changed = part.model_copy(update={name: _other(getattr(part, name))})
    config = plain.model_copy(update={section: changed})
    last = "features" if section == "features" else "gradients"
    before, after = stage_options(plain, last), stage_options(config, last)
    same = fingerprint(before) == fingerprint(after)
    assert same == (f"{section}.{name}" in HARMLESS)
    if not same:
        assert any(text.startswith(f"{section}.{name} ") for text in differences(before, after))


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("name", TrainingConfig.model_fields)
def test_every_option_of_a_training_counts(name: str) -> None:
    part = Config().training
    changed = part.model_copy(update={name: _other(getattr(part, name))})
    before = training_options(Config())
    after = training_options(Config().model_copy(update={"training": changed}))
    # Which problems are trained on is told by their ids; how often it is saved does not matter.
    assert (before == after) == (name in ("save_every", "subset"))


def test_ranking_options_need_no_new_table() -> None:
    config = Config.model_validate({"selection": {"budget": 3, "method": "band"}})
    for stage in _stages(config):
        assert stage_options(config, stage) == stage_options(Config(), stage)


def test_a_later_option_leaves_the_earlier_tables() -> None:
    config = Config.model_validate({"rollouts": {"temperature": 0.5}})
    stages = _stages(config)
    changed = [stage_options(config, s) != stage_options(Config(), s) for s in stages]
    # All but the problems, and the features, which are the problems' alone.
    unchanged = {"problems", "features"}
    assert changed == [stage not in unchanged for stage in stages]


def test_where_it_is_made_leaves_every_table() -> None:
    config = Config.model_validate(
        {"cluster": {"on": "ray", "workers": 9, "gpus_per_worker": 1, "cpus_per_worker": 3}}
    )
    assert all(stage_options(config, s) == stage_options(Config(), s) for s in _stages(config))


def test_rounds_depend_on_what_decides_who_is_sampled_on() -> None:
    auto = Config.model_validate({"rollouts": {"spend": "auto"}, "selection": {"budget": 9}})
    more = Config.model_validate({"rollouts": {"spend": "auto"}, "selection": {"budget": 10}})
    same = [s for s in _stages(auto) if stage_options(auto, s) == stage_options(more, s)]
    assert same == ["problems", "round-1", "features"]
    other = Config.model_validate({"rollouts": {"spend": "auto"}, "verifier": {"kind": "text"}})
    same = [s for s in _stages(auto) if stage_options(other, s) == stage_options(auto, s)]
    assert same == ["problems", "features"]


def test_the_same_path_with_other_bytes(tmp_path: Path) -> None:
    file, folder = tmp_path / "pool.jsonl", tmp_path / "parts"
    folder.mkdir()
    (folder / "a.jsonl").write_text("1")
    file.write_text("1")
    config = Config.model_validate({"data": {"paths": (str(file), str(folder))}})
    seen = [fingerprint(stage_options(config, "problems"))]
    file.write_text("2")
    seen.append(fingerprint(stage_options(config, "problems")))
    (folder / "a.jsonl").write_text("2")
    seen.append(fingerprint(stage_options(config, "problems")))
    assert len(set(seen)) == 3


def test_another_chat_template_or_template_file_changes_the_prompts(tmp_path: Path) -> None:
    template = tmp_path / "own.jinja"
    template.write_text("{{ question }}")
    (tmp_path / "tokenizer.json").write_text("{}")
    tree = {"model": {"path": str(tmp_path)}, "prompt": {"template": str(template)}}
    config = Config.model_validate(tree)
    seen = [fingerprint(stage_options(config, "problems"))]
    for name in ("own.jinja", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / name).write_text("changed")
        seen.append(fingerprint(stage_options(config, "problems")))
    (tmp_path / "model.safetensors").write_bytes(b"weights make no prompt")
    seen.append(fingerprint(stage_options(config, "problems")))
    assert len(set(seen)) == 4
    assert seen[3] == seen[4]


def test_a_checkpoint_that_was_trained_further(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    weights = bytearray(3_000_000)
    file.write_bytes(weights)
    (tmp_path / "config.json").write_text("{}")
    first = weights_digest(str(tmp_path))
    assert first == weights_digest(str(tmp_path))
    file.write_bytes(bytes(byte ^ 1 for byte in weights))
    second = weights_digest(str(tmp_path))
    (tmp_path / "config.json").write_text("{ }")
    assert len({first, second, weights_digest(str(tmp_path))}) == 3
    assert weights_digest("owner/name") is None


def test_variables_of_the_chat_template_change_the_prompts() -> None:
    options = [
        stage_options(
            Config.model_validate({"prompt": {"chat_template_kwargs": values}}), "problems"
        )
        for values in ({}, {"enable_thinking": True}, {"enable_thinking": False})
    ]
    assert len({fingerprint(one) for one in options}) == 3


def test_a_patterns_files_are_its_contents(tmp_path: Path) -> None:
    """Another file that matches, or another content, is other data."""

    def contents() -> Any:
        config = Config.model_validate({"data": {"paths": (f"{tmp_path}/*.jsonl",)}})
        return pool_options(config)["data.contents"]

    (tmp_path / "a.jsonl").write_text("{}")
    seen = [contents()]
    (tmp_path / "b.jsonl").write_text("{}")
    seen.append(contents())
    (tmp_path / "b.jsonl").write_text("{ }")
    seen.append(contents())
    assert seen[0][0] is not None
    assert len({found[0] for found in seen}) == 3


def test_files_that_are_not_read_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    config = Config.model_validate({"data": {"paths": (str(tmp_path),)}})
    before = fingerprint(pool_options(config))
    (tmp_path / ".ipynb_checkpoints").mkdir()
    for name in ("a.jsonl.lock", "_SUCCESS", ".ipynb_checkpoints/a.jsonl"):
        (tmp_path / name).touch()
    assert fingerprint(pool_options(config)) == before
    (tmp_path / "b.jsonl").touch()
    assert fingerprint(pool_options(config)) != before
