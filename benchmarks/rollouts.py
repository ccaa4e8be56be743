"""The embedded engine's speed, compared with a bare decode loop and transformers' generate.

SmolLM2-135M-Instruct in bfloat16 on two threads, 8 problems with 8 samples of 64 tokens each. The
end token is ignored, so that all sample the same number of tokens. They run alternately, and ratios
are taken within one round, so that other load on the machine affects all of them equally.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import torch
import torch.nn.functional as F

from harness import ROOT, Figure, publish
from learnalign.config import ModelConfig, RolloutConfig
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.rollouts.transformers import TransformersEngine

NUM_PROBLEMS, GROUP, TOKENS, TURNS, THREADS = 8, 8, 64, 5, 2
BLOCK = 512  # tokens of the vocabulary that are summed together for sampling
QUESTIONS = (
    "What is {} + {}? Think step by step, then give the number.",
    "Name {} rivers and {} mountains.",
    "A baker sells {} loaves in the morning and {} in the afternoon. How many in all?",
    "Write a short story about {} cats and {} dogs.",
)


class BareLlama:
    """A minimal Llama for sampling.

    Keys and values are preallocated and weights fused. There are no cache or mask objects, grouped
    heads are not repeated, and logits are computed for one position only.
    """

    def __init__(self, model: Any) -> None:
        config, self.eps = model.config, model.config.rms_norm_eps
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.width = config.hidden_size // self.heads
        self.embedding, self.final = model.model.embed_tokens.weight, model.model.norm.weight
        self.head = model.lm_head.weight
        base = config.rope_parameters["rope_theta"]
        self.frequencies = base ** (-torch.arange(0, self.width, 2).float() / self.width)
        self.layers = [
            {
                "in": layer.input_layernorm.weight,
                "qkv": torch.cat([getattr(layer.self_attn, f"{n}_proj").weight for n in "qkv"]),
                "out": layer.self_attn.o_proj.weight,
                "post": layer.post_attention_layernorm.weight,
                "up": torch.cat([layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight]),
                "down": layer.mlp.down_proj.weight,
            }
            for layer in model.model.layers
        ]

    @torch.inference_mode()
    def sample(self, prompts: list[list[int]], group: int, tokens: int) -> torch.Tensor:
        """Sample ``tokens`` tokens for ``group`` rows per prompt; returns (rows, tokens)."""
        width, count = max(map(len, prompts)), len(prompts)
        ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
        seen = torch.tensor([[False] * (width - len(p)) + [True] * len(p) for p in prompts])
        hidden = self.embedding[ids]
        positions = (seen.cumsum(-1) - 1).clamp(min=0)
        causal = torch.ones(width, width, dtype=torch.bool).tril()
        # Padding attends to itself, so that no row of the mask is empty.
        mask = (causal & seen[:, None, :] | torch.eye(width, dtype=torch.bool))[:, None]
        room = (len(self.layers), 2, count * group, self.groups, width + tokens, self.width)
        store = torch.empty(room, dtype=hidden.dtype)
        hidden = self._run(hidden, self._rotation(positions), store, 0, mask, group)
        logits = self._logits(hidden).repeat_interleave(group, 0)
        bias = torch.zeros(count, 1, 1, width + tokens)
        bias[:, 0, 0, :width].masked_fill_(~seen, float("-inf"))
        bias = bias.repeat_interleave(group, 0)
        positions = seen.sum(-1, keepdim=True).repeat_interleave(group, 0)
        output = torch.empty(count * group, tokens, dtype=torch.long)
        for step in range(tokens):
            output[:, step] = token = pick(logits)
            if step + 1 == tokens:
                break
            end = width + step + 1
            hidden = self.embedding[token][:, None]
            rotation = self._rotation(positions + step)
            hidden = self._run(hidden, rotation, store, end - 1, bias[..., :end], 1)
            logits = self._logits(hidden)
        return output

    def _run(
        self,
        hidden: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        store: torch.Tensor,
        begin: int,
        mask: torch.Tensor,
        group: int,
    ) -> torch.Tensor:
        """Run (B, T) positions through the layers, storing keys and values from ``begin`` on."""
        batch, length, size = hidden.shape
        heads, groups, width = self.heads, self.groups, self.width
        for layer, kept in zip(self.layers, store, strict=True):
            mixed = F.linear(F.rms_norm(hidden, (size,), layer["in"], self.eps), layer["qkv"])
            mixed = mixed.view(batch, length, heads + 2 * groups, width).transpose(1, 2)
            query, key, value = mixed.split([heads, groups, groups], 1)
            query, key = rotated(query, rotation), rotated(key, rotation)
            end = begin + length
            kept[0, :, :, begin:end] = key.repeat_interleave(group, 0)
            kept[1, :, :, begin:end] = value.repeat_interleave(group, 0)
            if length == 1:
                query = query.reshape(batch, groups, heads // groups, width) * width**-0.5
                weights = (query @ kept[0, :, :, :end].mT).float().add_(mask).softmax(-1)
                mixture = (weights.to(hidden.dtype) @ kept[1, :, :, :end]).reshape(batch, 1, size)
            else:
                mixture = F.scaled_dot_product_attention(
                    query, key, value, attn_mask=mask, enable_gqa=True
                )
                mixture = mixture.transpose(1, 2).reshape(batch, length, size)
            hidden = hidden + F.linear(mixture, layer["out"])
            inner = F.linear(F.rms_norm(hidden, (size,), layer["post"], self.eps), layer["up"])
            gate, up = inner.chunk(2, -1)
            hidden = hidden + F.linear(F.silu(gate) * up, layer["down"])
        return hidden

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        last = F.rms_norm(hidden[:, -1], hidden.shape[-1:], self.final, self.eps)
        return F.linear(last, self.head).float()

    def _rotation(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cosines and sines of (B, T) positions."""
        angles = (positions[..., None] * self.frequencies).repeat(1, 1, 2)[:, None]
        return angles.cos().to(self.head.dtype), angles.sin().to(self.head.dtype)


def rotated(x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Apply rotary embeddings to (B, heads, T, width)."""
    first, second = x.chunk(2, -1)
    return x * rotation[0] + torch.cat([-second, first], -1) * rotation[1]


def pick(logits: torch.Tensor) -> torch.Tensor:
    """Sample a token for each row: first a block of the vocabulary, then a token in it."""
    count, size = logits.shape
    weights = F.pad(logits.softmax(-1), (0, -size % BLOCK)).view(count, -1, BLOCK)
    sums = weights.sum(-1).cumsum(-1)
    goal = torch.rand(count, 1) * sums[:, -1:]
    block = torch.searchsorted(sums, goal, right=True).clamp(max=sums.shape[1] - 1)
    inside = weights[torch.arange(count), block[:, 0]].cumsum(-1)
    before = sums.gather(1, block) - inside[:, -1:]
    index = torch.searchsorted(inside, (goal - before).clamp(min=0.0)).clamp(max=BLOCK - 1)
    return (block * BLOCK + index)[:, 0].clamp(max=size - 1)


def check(model: Any, prompts: list[list[int]]) -> float:
    """Check that the bare loop samples from the model.

    Returns the difference between the model's mean log-probability of the loop's samples and its
    expected log-probability at the same positions; near 0 if the loop is correct.
    """
    samples = BareLlama(model).sample(prompts, GROUP, 16)
    gaps = []
    with torch.inference_mode():
        for row, tokens in enumerate(samples):
            prompt = prompts[row // GROUP]
            logits = model(torch.cat([torch.tensor(prompt), tokens])[None]).logits
            logprobs = logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
            sampled = logprobs.gather(1, tokens[:, None])[:, 0]
            gaps.append(float((sampled - (logprobs.exp() * logprobs).sum(-1)).mean()))
    return statistics.fmean(gaps)


def main() -> None:
    """Measure alternately and compare."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    begin = time.monotonic()
    config = ModelConfig(path=str(ROOT / "models" / "SmolLM2-135M-Instruct"), device="cpu")
    tokenizer, model = load_tokenizer(config), load_model(config, dtype=torch.bfloat16)
    prompts = []
    for i in range(NUM_PROBLEMS):
        text = QUESTIONS[i % len(QUESTIONS)].format(i + 2, 3 * i + 4)
        chat = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        prompts.append(tokenizer(chat, add_special_tokens=False)["input_ids"])
    problems = pa.table(
        {"problem_id": [f"p{i}" for i in range(NUM_PROBLEMS)], "prompt_ids": prompts}
    )
    rollouts = RolloutConfig(num_rollouts=GROUP, max_tokens=TOKENS)
    engine = TransformersEngine(model, tokenizer, rollouts, seed=0)
    engine.end_ids = torch.tensor([], dtype=torch.long)
    bare = BareLlama(model)
    padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")

    def generate() -> int:
        with torch.inference_mode():
            output = model.generate(
                **padded,
                do_sample=True,
                num_return_sequences=GROUP,
                max_new_tokens=TOKENS,
                min_new_tokens=TOKENS,
                top_k=0,
            )
        return int(output[:, padded["input_ids"].shape[1] :].numel())

    runs: dict[str, Callable[[], int]] = {
        "ours": lambda: sum(map(len, engine.sample(problems)["token_ids"].to_pylist())),
        "bare": lambda: int(bare.sample(prompts, GROUP, TOKENS).numel()),
        "generate": generate,
    }
    for run in runs.values():
        assert run() == NUM_PROBLEMS * GROUP * TOKENS
    rows: list[dict[str, Any]] = []
    for turn in range(TURNS):
        order = list(runs)[turn % 3 :] + list(runs)[: turn % 3]
        seconds = {}
        for name in order:
            start = time.perf_counter()
            runs[name]()
            seconds[name] = round(time.perf_counter() - start, 4)
        sys.stderr.write(f"turn {turn + 1} of {TURNS}: {seconds}\n")
        rows.append({"turn": turn, **{f"{name}_s": seconds[name] for name in runs}})
    total = NUM_PROBLEMS * GROUP * TOKENS
    figures = {
        "ours, times the bare loop": ratio(rows, "ours", "bare", goal=1.3),
        "generate, times ours": ratio(rows, "generate", "ours", better="higher", goal=1.0),
        "bare loop's log-probability gap": Figure(
            abs(check(model, prompts)), "nats", "lower", goal=0.15
        ),
    }
    for name in runs:
        speeds = [total / row[f"{name}_s"] for row in rows]
        figures[f"{name}, speed"] = Figure(
            statistics.median(speeds), "tokens/s", "higher", statistics.stdev(speeds)
        )
    publish("rollouts", begin, figures, rows)


def ratio(
    rows: list[dict[str, Any]], above: str, below: str, *, better: Any = "lower", goal: float
) -> Figure:
    """Return the median ratio of two times over the turns, with the standard deviation."""
    ratios = [row[f"{above}_s"] / row[f"{below}_s"] for row in rows]
    return Figure(statistics.median(ratios), "x", better, statistics.stdev(ratios), goal)


if __name__ == "__main__":
    main()
