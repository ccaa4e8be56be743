"""One step of TRL's GRPOTrainer on SmolLM2: its gradient is ours, summed over problems."""

import pyarrow as pa
import pytest
import torch

from gradients.test_engine import assert_same_rows
from learnalign.config import GradientConfig, ModelConfig
from learnalign.gradients.engine import GradientEngine, Group
from learnalign.models.loading import load_model, load_tokenizer

trl = pytest.importorskip("trl")
TEMPERATURE, MAX_TOKENS, GENERATIONS = 0.9, 6, 4


def reward(ids):
    """Reward that any rollouts share unevenly: a function of the tokens alone."""
    return float(sum(ids) % 3 == 0)


def step_of_trl(path, tokenizer, loss, folder):
    """Train one step; give the rollouts TRL sampled and the gradient its optimiser was handed."""
    from datasets import Dataset
    from transformers import TrainerCallback

    seen = {}

    class Spy(trl.GRPOTrainer):
        def _compute_loss(self, model, inputs):
            seen["inputs"] = inputs
            return super()._compute_loss(model, inputs)

    class Grab(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            seen["gradient"] = {
                name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
            }

    config = trl.GRPOConfig(
        output_dir=str(folder), per_device_train_batch_size=3 * GENERATIONS, max_steps=1,
        num_generations=GENERATIONS, max_completion_length=MAX_TOKENS, temperature=TEMPERATURE,
        loss_type=loss, scale_rewards="group", beta=0.0, max_grad_norm=0.0, use_cpu=True,
        bf16=False, gradient_checkpointing=False, report_to=[], save_strategy="no",
        disable_tqdm=True, seed=3,
    )  # fmt: skip
    prompts = ["What is 2 + 3? 2 + 3 =", "Name a colour.", "Say yes or no: is the sky blue?"]
    trainer = Spy(
        model=load_model(ModelConfig(path=str(path), device="cpu"), dtype=torch.float32),
        reward_funcs=lambda completion_ids, **_: [reward(ids) for ids in completion_ids],
        args=config,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=tokenizer,
        callbacks=[Grab()],
    )
    trainer.train()
    return seen["inputs"], seen["gradient"]


def groups_of(inputs):
    """Sort TRL's padded batch by prompt."""
    groups = {}
    for i in range(len(inputs["prompt_ids"])):
        prompt = inputs["prompt_ids"][i][inputs["prompt_mask"][i].bool()].tolist()
        ids = inputs["completion_ids"][i][inputs["completion_mask"][i].bool()].tolist()
        group = groups.setdefault(tuple(prompt), Group())
        group.responses.append(ids)
        group.rewards.append(reward(ids))
    return groups


@pytest.mark.parametrize(
    "loss",
    [
        "grpo",
        pytest.param("dr_grpo", marks=pytest.mark.slow),
        pytest.param("dapo", marks=pytest.mark.slow),
    ],
)
def test_sum_of_policy_gradients_is_the_trainers_gradient(smollm2, tmp_path, loss):
    config = ModelConfig(path=str(smollm2), device="cpu")
    inputs, theirs = step_of_trl(smollm2, load_tokenizer(config), loss, tmp_path)
    groups = groups_of(inputs)
    assert [len(group.rewards) for group in groups.values()] == [GENERATIONS] * 3
    assert any(0 < sum(group.rewards) < GENERATIONS for group in groups.values())
    engine = GradientEngine(
        load_model(config, dtype=torch.float32),
        GradientConfig(loss=loss, sketch_size=64, input_width=0),
        temperature=TEMPERATURE,
        seed=0,
        max_tokens=MAX_TOKENS,
    )
    tokens = sum(sum(group.lengths) for group in groups.values())
    ours = {weight.name: 0.0 for weight in engine.gradients.collector.weights}
    for prompt, group in groups.items():
        # TRL averages over all rollouts; dapo over all tokens, where ours is over the problem's.
        share = sum(group.lengths) / tokens if loss == "dapo" else 1 / len(groups)
        for name, tensor in engine.gradient(list(prompt), group).items():
            ours[name] = ours[name] - share * tensor
    size = sum(float(t.double().square().sum()) for t in ours.values()) ** 0.5
    error = sum(float((theirs[n] - t).double().square().sum()) for n, t in ours.items()) ** 0.5
    assert size > 1e-3
    assert error / size < 1e-4, f"relative error {error / size:.2e}"


def test_rows_of_the_real_model_do_not_depend_on_shards(smollm2):
    config = ModelConfig(path=str(smollm2), device="cpu")
    tokenizer = load_tokenizer(config)
    engine = GradientEngine(
        load_model(config, dtype=torch.float32),
        GradientConfig(sketch_size=256),
        temperature=1.0,
        seed=0,
        max_tokens=8,
    )
    problems = pa.Table.from_pylist(
        [
            {"problem_id": str(i), "prompt_ids": tokenizer(f"{i} + {i} =")["input_ids"]}
            for i in range(3)
        ]
    )
    rollouts, verdicts = [], []
    for i in range(3):
        for g, text in enumerate([f" {2 * i}", " 99 of them", " 7"]):
            key = {"problem_id": str(i), "sample": g}
            rollouts.append(key | {"token_ids": tokenizer(text)["input_ids"]})
            verdicts.append(key | {"reward": float(g == 0)})
    rollouts, verdicts = pa.Table.from_pylist(rollouts), pa.Table.from_pylist(verdicts)
    whole = engine.rows(problems, rollouts, verdicts)
    parts = [engine.rows(problems.slice(i, 1), rollouts, verdicts) for i in (2, 0, 1)]
    assert_same_rows(pa.concat_tables([parts[1], parts[2], parts[0]]), whole)
