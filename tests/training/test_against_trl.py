"""Two steps on the same rollouts: TRL's GRPOTrainer and ours end at the same weights."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from gradients.test_against_trl import GENERATIONS, MAX_TOKENS, TEMPERATURE, groups_of, reward
from learnalign.config import GradientConfig, ModelConfig, TrainingConfig
from learnalign.gradients.engine import Group
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.training.learner import Learner

trl = pytest.importorskip("trl")
STEPS = 2
RATES = {"tiny": 1e-3, "smollm2": 1e-5}


@pytest.fixture(scope="module")
def tiny(smollm2, tmp_path_factory):
    """A small Llama with random weights and SmolLM2's vocabulary, as a folder."""
    path = tmp_path_factory.mktemp("tiny") / "model"
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    config = AutoConfig.from_pretrained(
        smollm2, **sizes, num_attention_heads=4, num_key_value_heads=2
    )
    config.head_dim = 16
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    load_tokenizer(ModelConfig(path=str(smollm2))).save_pretrained(path)
    return path


PROMPTS = ["What is 2 + 3? 2 + 3 =", "Name a colour.", "Is the sky blue? Say yes or no."]


def train_with_trl(path, folder, rate, loss, beta, accumulation):
    """Give the rollouts of each step, the norms of its gradient, and the weights at the end."""
    from datasets import Dataset
    from transformers import TrainerCallback

    seen, norms = [], []

    class Spy(trl.GRPOTrainer):
        def _compute_loss(self, model, inputs):
            seen.append(
                {
                    key: value.clone()
                    for key, value in inputs.items()
                    if "ids" in key or "mask" in key
                }
            )
            return super()._compute_loss(model, inputs)

    class Norms(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if "grad_norm" in logs:
                norms.append(logs["grad_norm"])

    config = trl.GRPOConfig(
        output_dir=str(folder), max_steps=STEPS, num_generations=GENERATIONS,
        per_device_train_batch_size=len(PROMPTS) * GENERATIONS // accumulation,
        gradient_accumulation_steps=accumulation,
        max_completion_length=MAX_TOKENS, temperature=TEMPERATURE, loss_type=loss, beta=beta,
        max_grad_norm=1.0, learning_rate=rate, lr_scheduler_type="linear", use_cpu=True, bf16=False,
        gradient_checkpointing=False, report_to=[], save_strategy="no", disable_tqdm=True, seed=3,
        logging_steps=1, use_bias_correction_kl=False,
    )  # fmt: skip
    trainer = Spy(
        model=load_model(ModelConfig(path=str(path), device="cpu"), dtype=torch.float32),
        reward_funcs=lambda completion_ids, **_: [reward(ids) for ids in completion_ids],
        args=config,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]),
        processing_class=load_tokenizer(ModelConfig(path=str(path))),
        callbacks=[Norms()],
    )
    trainer.train()
    steps = [seen[i : i + accumulation] for i in range(0, len(seen), accumulation)]
    return steps, norms, dict(trainer.model.named_parameters())


@pytest.mark.parametrize(
    ("model", "loss", "beta", "accumulation"),
    [
        ("tiny", "grpo", 0.04, 1),
        ("tiny", "dapo", 0.0, 3),
        ("tiny", "dr_grpo", 0.04, 1),
        pytest.param("smollm2", "grpo", 0.04, 1, marks=pytest.mark.slow),
        pytest.param("smollm2", "dapo", 0.0, 3, marks=pytest.mark.slow),
        pytest.param("smollm2", "dr_grpo", 0.0, 1, marks=pytest.mark.slow),
    ],
)
def test_two_steps_are_trls(request, tmp_path, model, loss, beta, accumulation):
    path, rate = request.getfixturevalue(model), RATES[model]
    steps, norms, theirs = train_with_trl(path, tmp_path, rate, loss, beta, accumulation)
    assert len(steps) == STEPS
    config = ModelConfig(path=str(path), device="cpu")
    model = load_model(config, dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    learner = Learner(
        model,
        TrainingConfig(learning_rate=rate, kl_beta=beta, schedule="linear"),
        GradientConfig(loss=loss),
        temperature=TEMPERATURE,
        max_tokens=MAX_TOKENS,
        num_steps=STEPS,
        reference=load_model(config, dtype=torch.float32) if beta else None,
    )
    done = []
    for parts in steps:
        groups = {}
        for part in parts:
            # TRL shuffles a batch's rollouts before it cuts it into parts.
            for prompt, some in groups_of(part).items():
                group = groups.setdefault(prompt, Group())
                group.responses += some.responses
                group.rewards += some.rewards
        assert [len(group.rewards) for group in groups.values()] == [GENERATIONS] * len(PROMPTS)
        done.append(learner.step(list(map(list, groups)), list(groups.values())))
    assert [step.gradient_norm for step in done] == pytest.approx(norms, rel=1e-3)
    if beta:
        assert done[0].kl == pytest.approx(0.0, abs=1e-6)
        assert done[1].kl > 1e-6
    moved = {n: p.detach() - before[n] for n, p in theirs.items()}
    size = sum(float(m.double().square().sum()) for m in moved.values()) ** 0.5
    ours = dict(model.named_parameters())
    error = sum(
        float((ours[n].detach() - before[n] - m).double().square().sum()) for n, m in moved.items()
    )
    assert size > rate
    assert error**0.5 / size < 0.02, f"relative error {error**0.5 / size:.2e}"
