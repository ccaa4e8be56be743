"""Ready-to-run GRPO recipes for trainers, written next to an export."""

import json
import shlex
from pathlib import Path
from typing import Any

import yaml

from learnalign.config import Config
from learnalign.storage import files

_REWARDS = "learnalign.verifying.rewards"
_WEIGHT_DECAY = 0.0
_VERL_LOSSES = {
    "grpo": "seq-mean-token-mean",
    "dr_grpo": "seq-mean-token-sum-norm",
    "dapo": "token-mean",
}


def write_recipe(
    out: Path, kind: str, config: Config, *, reward: str, longest: int, batch_size: int | None
) -> Path | None:
    """Write ``trl.yaml`` or ``verl.sh`` next to an export's files.

    Args:
        out: The export's folder.
        kind: Its format; only trl and verl have a recipe.
        config: The run's options, including the training section.
        reward: The run's verifier, by kind; ``auto`` chooses one for each problem, in a trainer as
            in a selection.
        longest: Tokens in the longest prompt.
        batch_size: Prompts per step; None for ``training.problems_per_step``.

    Returns:
        The recipe's path; None for a format without one.
    """
    size = batch_size or config.training.problems_per_step
    if kind == "trl":
        path = out / "trl.yaml"
        recipe = trl_recipe(config, out / "selected.jsonl", reward=reward, batch_size=size)
        text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
        command = shlex.join(["trl", "grpo", "--config", str(path)])
        head = f"# {command}   (random control: change selected to control below)\n"
        files.write_text(path, head + text)
        return path
    if kind == "verl":
        path = out / "verl.sh"
        files.write_text(
            path,
            verl_recipe(
                config, out / "selected.parquet", reward=reward, longest=longest, batch_size=size
            ),
        )
        return path
    return None


def trl_recipe(config: Config, data: Path, *, reward: str, batch_size: int) -> dict[str, Any]:
    """Return the options of ``trl grpo`` (GRPOConfig, ModelConfig and its own)."""
    training = config.training
    function = reward.replace(":", ".") if ":" in reward else f"{_REWARDS}.{reward}"
    recipe: dict[str, Any] = {
        "model_name_or_path": config.model.path,
        "dtype": "auto",
        "datasets": [{"path": "json", "data_files": str(data), "split": "train"}],
        "reward_funcs": [function],
        "output_dir": f"{data.parent}/trained",
        **grpo_settings(config, batch_size),
        "num_train_epochs": training.epochs,
        "shuffle_dataset": training.shuffled,
    }
    if config.prompt.chat_template_kwargs:
        recipe["chat_template_kwargs"] = config.prompt.chat_template_kwargs
    if training.parameters == "lora":
        recipe |= {"use_peft": True, "lora_r": training.lora_rank}
        recipe |= {"lora_alpha": 2 * training.lora_rank, "lora_target_modules": ["all-linear"]}
    return recipe


def grpo_settings(config: Config, batch_size: int) -> dict[str, Any]:
    """Return TRL's GRPOConfig options for sampling, objective and optimiser.

    A micro-batch is one group, and a step has ``batch_size`` groups.
    """
    training, rollouts = config.training, config.rollouts
    return {
        "num_generations": rollouts.num_rollouts,
        "per_device_train_batch_size": rollouts.num_rollouts,
        "gradient_accumulation_steps": batch_size,
        "max_completion_length": rollouts.max_tokens,
        "temperature": rollouts.temperature,
        "top_p": rollouts.top_p,
        "loss_type": config.gradients.loss,
        "scale_rewards": config.gradients.scale_rewards,
        "beta": training.kl_beta,
        "use_bias_correction_kl": False,  # the paper's KL term, without the importance ratio
        "epsilon": training.clip,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.schedule,
        "warmup_steps": training.warmup_steps,
        "max_grad_norm": training.max_grad_norm,
        "weight_decay": _WEIGHT_DECAY,
        "logging_steps": 1,
        "seed": config.run.seed,
    }


def verl_recipe(config: Config, data: Path, *, reward: str, longest: int, batch_size: int) -> str:
    """Return a shell script that runs GRPO in verl, with the options of verl 0.9.

    A user's own verifier is passed on by name; verl calls it with verl's signature.
    """
    training, rollouts = config.training, config.rollouts
    module, _, function = reward.partition(":")
    options: dict[str, Any] = {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": config.gradients.scale_rewards == "group",
        "algorithm.use_kl_in_reward": False,
        "data.train_files": str(data),
        "data.val_files": str(data),
        "data.train_batch_size": batch_size,
        "data.max_prompt_length": longest,
        "data.max_response_length": rollouts.max_tokens,
        "data.shuffle": training.shuffled,
        "actor_rollout_ref.model.path": config.model.path,
        "actor_rollout_ref.actor.optim.lr": training.learning_rate,
        "actor_rollout_ref.actor.optim.weight_decay": _WEIGHT_DECAY,
        "actor_rollout_ref.actor.ppo_mini_batch_size": batch_size,
        "actor_rollout_ref.actor.use_dynamic_bsz": True,
        "actor_rollout_ref.actor.clip_ratio": training.clip,
        "actor_rollout_ref.actor.clip_ratio_low": training.clip,  # verl uses these two,
        "actor_rollout_ref.actor.clip_ratio_high": training.clip,  # which have their own defaults
        "actor_rollout_ref.actor.loss_agg_mode": _VERL_LOSSES[config.gradients.loss],
        "actor_rollout_ref.actor.use_kl_loss": training.kl_beta > 0.0,
        "actor_rollout_ref.actor.kl_loss_coef": training.kl_beta,
        "actor_rollout_ref.actor.kl_loss_type": "low_var_kl",
        "actor_rollout_ref.rollout.name": "vllm",
        "actor_rollout_ref.rollout.n": rollouts.num_rollouts,
        "actor_rollout_ref.rollout.temperature": rollouts.temperature,
        "actor_rollout_ref.rollout.top_p": rollouts.top_p,
        "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
        "reward.custom_reward_function.path": f"pkg://{module if function else _REWARDS}",
        "reward.custom_reward_function.name": function or "compute_score",
        "trainer.total_epochs": training.epochs,
        "trainer.val_before_train": False,
        "trainer.test_freq": -1,
        "trainer.save_freq": training.save_every,  # verl's default never saves
        "trainer.default_local_dir": f"{data.parent}/trained",
        "trainer.logger": "[console]",
    }
    for name, value in config.prompt.chat_template_kwargs.items():
        options[f"+data.apply_chat_template_kwargs.{name}"] = json.dumps(value)
    if not function:
        prefix = "+reward.custom_reward_function.reward_kwargs"
        options[f"{prefix}.kind"] = reward
        if config.verifier.unfinished_thinking:
            options[f"{prefix}.unfinished_thinking"] = True
    if training.parameters == "lora":
        options["actor_rollout_ref.model.lora_rank"] = training.lora_rank
        options["actor_rollout_ref.model.lora_alpha"] = 2 * training.lora_rank
    else:  # also save a model folder, which `learnalign evaluate` reads
        contents = "[model,optimizer,extra,hf_model]"
        options["actor_rollout_ref.actor.checkpoint.save_contents"] = contents
    lines = [f"  {name}={shlex.quote(_plain(value))}" for name, value in options.items()]
    return (
        "#!/usr/bin/env bash\n"
        "# GRPO with verl on the selection; add more options on the command line, for example\n"
        "# trainer.n_gpus_per_node=1 data.val_files=held-out.parquet trainer.test_freq=10\n"
        "python3 -m verl.trainer.main_ppo \\\n" + " \\\n".join(lines) + ' \\\n  "$@"\n'
    )


def _plain(value: Any) -> str:
    """Format a value for Hydra."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
