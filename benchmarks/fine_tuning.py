"""Supervised fine-tuning: the loss of the response's tokens, AdamW, checkpoints to resume from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from learnalign.storage.folders import atomic_folder, remove_tree
from learnalign.training.order import step_problems

_MOMENTS = ("exp_avg", "exp_avg_sq")
#: Steps over which the learning rate rises; it then falls to zero at the last step.
_WARMUP = 10


@dataclass(frozen=True)
class Example:
    """A prompt and the response to be learned, as token ids."""

    prompt: list[int]
    response: list[int]

    @property
    def num_tokens(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True)
class Batch:
    """Some examples, padded on the right: causal attention never reaches the padding."""

    ids: torch.Tensor
    """(B, T) int64."""
    places: torch.Tensor
    """(R,) int64, indices into the flattened (B * T) positions that predict a response token."""
    wanted: torch.Tensor
    """(R,) int64, these response tokens."""


def collate(examples: Sequence[Example], device: torch.device) -> Batch:
    """Pad examples to one length.

    Args:
        examples: B examples with R response tokens in all; no prompt is empty.
        device: Where the tensors go.
    """
    width = max(example.num_tokens for example in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    places, wanted = [], []
    for row, example in enumerate(examples):
        ids[row, : example.num_tokens] = torch.tensor(example.prompt + example.response)
        first = row * width + len(example.prompt) - 1
        places += range(first, first + len(example.response))
        wanted += example.response
    tensors = (ids, torch.tensor(places), torch.tensor(wanted))
    return Batch(*(tensor.to(device, non_blocking=True) for tensor in tensors))


def response_loss(model: Any, batch: Batch) -> torch.Tensor:
    """Return the negative log-likelihood of the response tokens, (R,) float32.

    The output head runs on the positions that predict a response token, on no others.
    """
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = plain.base_model(input_ids=batch.ids, use_cache=False).last_hidden_state
    logits = plain.get_output_embeddings()(hidden.flatten(0, 1)[batch.places])
    return torch.nn.functional.cross_entropy(logits.float(), batch.wanted, reduction="none")


@torch.no_grad()
def log_likelihood(model: Any, examples: Sequence[Example], batch_size: int) -> float:
    """Return the mean log-likelihood of a response token, in nats."""
    device = next(model.parameters()).device
    losses = [
        response_loss(model, collate(examples[i : i + batch_size], device))
        for i in range(0, len(examples), batch_size)
    ]
    return -float(torch.cat(losses).mean())


class FineTuning:
    """The training of a model's trainable parameters on examples, a batch a step.

    Args:
        model: A causal language model of transformers, or a PEFT model around one.
        examples: What to learn; `step_problems` orders them.
        batch_size: Examples a step.
        num_steps: Of the whole training, where the learning rate reaches zero.
        learning_rate: Its highest value.
        seed: Of the order.
    """

    def __init__(
        self,
        model: Any,
        examples: Sequence[Example],
        *,
        batch_size: int,
        num_steps: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        self.model, self.examples, self.learning_rate = model, examples, learning_rate
        self.order = step_problems(len(examples), batch_size, steps=num_steps, seed=seed)
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.device = next(iter(self.named.values())).device
        self.optimizer = torch.optim.AdamW(self.named.values(), weight_decay=0.0)
        self.done = 0
        self.notes: dict[str, Any] = {}
        """What a checkpoint keeps beside the weights; values for JSON."""

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return len(self.order)

    def batch(self, step: int) -> list[Example]:
        """Return the examples of a step."""
        return [self.examples[i] for i in self.order[step]]

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        rising = (step + 1) / min(_WARMUP, self.num_steps)
        return self.learning_rate * min(1.0, rising, (self.num_steps - step) / self.num_steps)

    def step(self) -> float:
        """Make the next step; return its loss, the mean over response tokens."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.done)
        loss = response_loss(self.model, collate(self.batch(self.done), self.device)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.named.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done += 1
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write ``checkpoint-STEP`` with weights, moments and notes; remove earlier ones."""
        with atomic_folder(folder / f"checkpoint-{self.done}") as path:
            save_file({k: p.detach() for k, p in self.named.items()}, path / "weights.safetensors")
            moments = {
                f"{key}.{name}": self.optimizer.state[p][key]
                for name, p in self.named.items()
                for key in _MOMENTS
            }
            save_file(moments, path / "moments.safetensors")
            (path / "notes.json").write_text(json.dumps(self.notes), encoding="utf-8")
        for done, old in _checkpoints(folder):
            if done < self.done:
                remove_tree(old)

    def load(self, folder: Path) -> None:
        """Resume from the last checkpoint in a folder, if there is one."""
        done, path = max(_checkpoints(folder), default=(0, None))
        if path is None:
            return
        weights = load_file(path / "weights.safetensors")
        moments = load_file(path / "moments.safetensors")
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(weights[name])
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(done)),
                    **{key: moments[f"{key}.{name}"].to(p.device) for key in _MOMENTS},
                }
        self.notes = json.loads((path / "notes.json").read_text(encoding="utf-8"))
        self.done = done


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    return [(int(path.name.rpartition("-")[2]), path) for path in folder.glob("checkpoint-*")]
