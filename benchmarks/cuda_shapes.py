"""Models of real shapes without a download: Qwen2.5's sizes written out by hand, random weights.

Time and memory depend on the shapes alone, so a model of random weights costs what the real one
does. Weights are made on the device, in bfloat16.
"""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Shape:
    """The sizes of a Qwen2 model."""

    name: str
    hidden: int
    layers: int
    heads: int
    """Query heads."""
    groups: int
    """Heads of keys and values."""
    inner: int
    """Width between the two products of the feed-forward block."""
    vocabulary: int
    tied: bool
    """Whether the output head is the embedding."""

    @property
    def keys(self) -> int:
        """Width of the keys, and of the values."""
        return self.groups * self.hidden // self.heads

    @property
    def products(self) -> list[tuple[int, int]]:
        """(outputs, inputs) of a layer's seven linear weights."""
        return [
            (self.hidden, self.hidden),
            (self.keys, self.hidden),
            (self.keys, self.hidden),
            (self.hidden, self.hidden),
            (self.inner, self.hidden),
            (self.inner, self.hidden),
            (self.hidden, self.inner),
        ]

    @property
    def linear(self) -> int:
        """Number of weights of all layers' linear products."""
        return self.layers * sum(out * inputs for out, inputs in self.products)

    @property
    def head(self) -> int:
        """Number of weights of the output head."""
        return self.hidden * self.vocabulary

    @property
    def parameters(self) -> int:
        """Number of parameters: products, biases of queries, keys and values, norms, embeddings."""
        small = self.layers * (self.hidden + 2 * self.keys + 2 * self.hidden) + self.hidden
        return self.linear + small + self.head * (1 if self.tied else 2)


SHAPES = {
    "0.5b": Shape("0.5b", 896, 24, 14, 2, 4864, 151936, True),
    "1.5b": Shape("1.5b", 1536, 28, 12, 2, 8960, 151936, True),
    "7b": Shape("7b", 3584, 28, 28, 4, 18944, 152064, False),
}
#: Prompt and response tokens of a group of eight.
LENGTHS = ((100, 300), (100, 1500))
#: The same for a trial run.
TINY_LENGTHS = ((10, 20), (10, 40))
GROUP = 8


def shape_of(name: str, *, tiny: bool = False) -> Shape:
    """Return a shape by its name; ``tiny`` a few thousand weights that share its ties."""
    found = SHAPES[name]
    return Shape(name, 64, 2, 4, 2, 128, 512, found.tied) if tiny else found


def make_model(shape: Shape, device: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    """Make the model with random weights on the device, in evaluation mode."""
    from transformers import AutoModelForCausalLM, Qwen2Config

    config = Qwen2Config(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        intermediate_size=shape.inner,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=32768,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.eval()


def make_group(
    shape: Shape, prompt: int, response: int
) -> tuple[list[int], list[list[int]], list[float]]:
    """Make a prompt and eight distinct responses of random tokens, half of them right."""
    from learnalign.gradients.objective import rollout_weights

    numbers = torch.Generator().manual_seed(prompt * response)
    tokens = torch.randint(3, shape.vocabulary, (prompt + GROUP * response,), generator=numbers)
    responses = tokens[prompt:].view(GROUP, response).tolist()
    rewards = [1.0, 0.0] * (GROUP // 2)
    weights = rollout_weights(rewards, [response] * GROUP, max_tokens=response)
    return tokens[:prompt].tolist(), responses, weights.tolist()
