"""Recipes beside an export: read by the installed TRL's own parser, and by verl's option tree."""

import importlib.util
import json
import shlex
from pathlib import Path

import pytest
import yaml

from learnalign import load_config
from learnalign.formats.recipes import trl_recipe, verl_recipe, write_recipe
from learnalign.verifying import rewards

CONFIG = load_config(
    overrides={
        "model.path": "models/some model",
        "rollouts.max_tokens": 300,
        "gradients.loss": "dr_grpo",
        "training.epochs": 2.0,
        "training.shuffled": False,
    }
)


def test_trls_own_parser_reads_the_recipe(tmp_path):
    grpo = pytest.importorskip("trl.scripts.grpo")
    path = write_recipe(tmp_path, "trl", CONFIG, reward="number", longest=90, batch_size=12)
    assert path == tmp_path / "trl.yaml"
    # The parser of `trl grpo`; an option that it does not know is an error.
    parser = grpo.make_parser()
    script, training, model, data = parser.parse_args_and_config(
        ["--config", str(path), "--use_cpu", "true", "--bf16", "false"],
        fail_with_unknown_args=True,
    )
    assert training.generation_batch_size == 12 * 8
    assert (training.loss_type, training.beta, training.max_completion_length) == (
        "dr_grpo",
        0.04,
        300,
    )
    assert training.shuffle_dataset is False
    assert model.model_name_or_path == "models/some model"
    assert data.datasets[0].data_files == str(tmp_path / "selected.jsonl")
    module, _, name = script.reward_funcs[0].rpartition(".")
    assert getattr(importlib.import_module(module), name) is rewards.number


def test_the_recipes_rows_and_reward_work_in_trl(tmp_path):
    """What `trl grpo` would load, rewarded by the function that the recipe names."""
    trl = pytest.importorskip("trl")
    rows = [
        {"prompt": [{"role": "user", "content": "2 + 2?"}], "solution": "4", "metadata": {"a": 1}},
        {"prompt": [{"role": "user", "content": "3 + 3?"}], "solution": "6", "metadata": {"a": 2}},
    ]
    (tmp_path / "selected.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = trl_recipe(CONFIG, tmp_path / "selected.jsonl", reward="number", batch_size=2)
    mixture = trl.DatasetMixtureConfig(datasets=recipe["datasets"])
    loaded = trl.get_dataset(mixture)["train"]
    answers = [[{"role": "assistant", "content": text}] for text in ("It is 4.", "It is 7.")]
    found = rewards.number(
        completions=answers, prompts=loaded["prompt"], solution=loaded["solution"]
    )
    assert found == [1.0, 0.0]


def test_rewards_by_kind():
    assert rewards.math(["\\boxed{0.5}", "2"], ["\\frac{1}{2}", "3"]) == [1.0, 0.0]
    assert rewards.text([" yes", "no"], ["yes", "yes"]) == [1.0, 0.0]
    assert rewards.choice(["The answer is (B).", "A"], ["B", "B"]) == [1.0, 0.0]
    gym = pytest.importorskip("reasoning_gym")
    entry = gym.create_dataset("chain_sum", size=1, seed=3)[0]
    found = rewards.reasoning_gym(
        [entry["answer"], "no"], [entry["answer"]] * 2, metadata=[entry["metadata"]] * 2
    )
    assert found == [1.0, 0.0]
    row = json.dumps({"question": "?", "answer": entry["answer"], "metadata": entry["metadata"]})
    score = rewards.compute_score(
        "chain_sum", entry["answer"], entry["answer"], {"row": row}, kind="reasoning_gym"
    )
    assert score == 1.0


def verl_options(script: str) -> dict[str, str]:
    command = script.replace("\\\n", " ").splitlines()[-1]
    words = shlex.split(command)
    assert words[:3] == ["python3", "-m", "verl.trainer.main_ppo"]
    return dict(word.split("=", 1) for word in words[3:-1])


def test_verls_script_says_what_the_run_was(tmp_path):
    script = verl_recipe(
        CONFIG, tmp_path / "selected.parquet", reward="number", longest=90, batch_size=64
    )
    options = verl_options(script)
    assert options["data.train_files"] == str(tmp_path / "selected.parquet")
    assert options["data.max_prompt_length"] == "90"
    assert options["actor_rollout_ref.model.path"] == "models/some model"
    assert options["actor_rollout_ref.actor.loss_agg_mode"] == "seq-mean-token-sum-norm"
    assert options["trainer.total_epochs"] == "2"
    assert options["+reward.custom_reward_function.reward_kwargs.kind"] == "number"
    package = options["reward.custom_reward_function.path"].removeprefix("pkg://")
    function = getattr(
        importlib.import_module(package), options["reward.custom_reward_function.name"]
    )
    assert function("x", "that is 4", "4", kind="number") == 1.0
    own = verl_recipe(CONFIG, Path("d"), reward="mine.rewards:score", longest=9, batch_size=4)
    assert verl_options(own)["reward.custom_reward_function.path"] == "pkg://mine.rewards"


def test_verls_script_says_what_verl_would_do_otherwise():
    """By default verl saves nothing, decays weights, and clips at 0.2 whatever clip_ratio is."""
    changes = {"training.clip": 0.3, "training.save_every": 7}
    config = load_config(overrides={"model.path": "m", **changes})
    options = verl_options(verl_recipe(config, Path("d"), reward="math", longest=9, batch_size=4))
    actor = "actor_rollout_ref.actor."
    for name in ("clip_ratio", "clip_ratio_low", "clip_ratio_high"):
        assert float(options[actor + name]) == 0.3
    assert options["trainer.save_freq"] == "7"
    assert float(options[actor + "optim.weight_decay"]) == 0.0
    assert trl_recipe(config, Path("d"), reward="math", batch_size=4)["weight_decay"] == 0.0
    assert "hf_model" in yaml.safe_load(options[actor + "checkpoint.save_contents"])
    # verl would write an adapter's weights into a model folder under names that no model has.
    config = load_config(overrides={"model.path": "m", "training.parameters": "lora"})
    script = verl_recipe(config, Path("d"), reward="math", longest=9, batch_size=4)
    assert "save_contents" not in script


def test_verls_option_tree_knows_every_option():
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("verl is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "trainer" / "config"
    tree = yaml.safe_load((folder / "_generated_ppo_trainer.yaml").read_text())
    script = verl_recipe(CONFIG, Path("d"), reward="math", longest=9, batch_size=4)
    for name in verl_options(script):
        below = tree
        for part in [] if name.startswith("+") else name.split("."):
            assert part in below, name
            below = below[part]


def test_other_formats_have_no_recipe(tmp_path):
    assert (
        write_recipe(tmp_path, "jsonl", CONFIG, reward="math", longest=1, batch_size=None) is None
    )


def test_variables_of_the_chat_template_go_along(tmp_path):
    variables = {"enable_thinking": False, "style": "terse, plain", "depth": 3}
    config = load_config(
        overrides={"model.path": "m", "prompt.chat_template_kwargs": variables},
    )
    script = verl_recipe(config, tmp_path / "d", reward="math", longest=9, batch_size=4)
    options = verl_options(script)
    for name, value in variables.items():
        # Hydra reads such a value as YAML reads JSON.
        assert yaml.safe_load(options[f"+data.apply_chat_template_kwargs.{name}"]) == value
    assert "chat_template" not in verl_recipe(
        CONFIG, Path("d"), reward="m", longest=9, batch_size=4
    )
    grpo = pytest.importorskip("trl.scripts.grpo")
    path = write_recipe(tmp_path, "trl", config, reward="number", longest=90, batch_size=12)
    _, training, *_ = grpo.make_parser().parse_args_and_config(
        ["--config", str(path), "--use_cpu", "true", "--bf16", "false"],
        fail_with_unknown_args=True,
    )
    assert training.chat_template_kwargs == variables
