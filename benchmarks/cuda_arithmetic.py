"""What a GPU has to do, counted on paper: operations of a group, bytes of memory, cards that fit.

    python benchmarks/cuda_arithmetic.py      # the tables of docs/guides/gpu.md

A group is one prompt and eight responses of equal length. An operation is a multiplication or an
addition; norms, softmaxes and other work that grows with the tokens alone is left out.
"""

from dataclasses import dataclass

from cuda_shapes import GROUP, LENGTHS, SHAPES, Shape

#: What the tables assume of a card: dense bfloat16, and the share of it that is reached.
RATE, SHARE = 400e12, 0.4
#: Input combinations of a projected gradient, sketch values, and the fold's width per value: the
#: defaults of `gradients.input_width`, `gradients.sketch_size` and `learnalign.gradients.sketch`.
WIDTH, SKETCH, FOLD = 16, 8192, 16
#: Logits that exist at once (`learnalign.models.head`).
CHUNK_VALUES = 1 << 24
#: Share of the free memory that a batch's graph may take (`learnalign.gradients.memory`).
BUDGET_SHARE, MAX_TOKENS = 0.4, 32_768
#: Memory of a card that CUDA's context and its libraries take.
CONTEXT = 1.0e9
CARDS = {24: 24e9, 40: 40e9, 48: 48e9, 80: 80e9, 141: 141e9}


def packed_tokens(prompt: int, response: int) -> int:
    """Count a packed group's tokens: the prompt once, no response's last token."""
    return prompt + GROUP * (response - 1)


def visible_pairs(prompt: int, response: int) -> float:
    """Count the (query, key) pairs of a packed group's attention, causal, half on the diagonal."""
    own = response - 1
    return prompt**2 / 2 + GROUP * (own * prompt + own**2 / 2)


def row_operations(shape: Shape, prompt: int, response: int) -> float:
    """Count the operations of a group's gradient row.

    Two a weight and token forward, two for the gradients of the activations; no weight's gradient
    is made. The head works on the predicting tokens (each prompt's last one once). Attention takes
    14 a pair and value of the queries' width: scores and mixture forward (4), the scores again and
    four products backward (10). The sketch's products take two a token, combination, and output or
    input of a weight.
    """
    tokens = packed_tokens(prompt, response)
    places = 1 + GROUP * (response - 1)
    sketch = 2 * tokens * WIDTH * shape.layers * sum(o + i for o, i in shape.products)
    attention = 14 * shape.layers * shape.hidden * visible_pairs(prompt, response)
    return 4 * shape.linear * tokens + 4 * shape.head * places + attention + sketch


def step_operations(shape: Shape, prompt: int, response: int) -> float:
    """Count the operations of a training step's forward and backward pass on the padded rollouts.

    Two more a weight and token than a row, for the weights' gradients, and every rollout with its
    own prompt.
    """
    length = prompt + response - 1
    attention = 14 * shape.layers * shape.hidden * GROUP * length**2 / 2
    return GROUP * (6 * shape.linear * length + 6 * shape.head * response) + attention


def rollout_operations(shape: Shape, prompt: int, response: int) -> float:
    """Count the operations of sampling a group: the prompt once, then token by token."""
    tokens = packed_tokens(prompt, response)
    places = 1 + GROUP * (response - 1)
    attention = 4 * shape.layers * shape.hidden * visible_pairs(prompt, response)
    return 2 * shape.linear * tokens + 2 * shape.head * places + attention


def seconds(operations: float) -> float:
    """Return the seconds of some operations on the card that the tables assume."""
    return operations / (RATE * SHARE)


@dataclass(frozen=True)
class Memory:
    """The bytes of a gradient row in bfloat16, term by term."""

    weights: float
    per_token: float
    """What the graph keeps of one token, all layers."""
    graph: float
    """The same for the whole group in one piece."""
    checkpointed: float
    """The same with checkpointing: each layer's input, and one layer's graph."""
    working: float
    """A layer's backward pass: gradients of the feed-forward block's three inner tensors."""
    hidden: float
    """The last hidden states, their gradients in pieces and whole."""
    logits: float
    """One chunk: logits, three copies in float32, and the slope."""
    projections: float
    sketch: float
    """The group's folded row, and the sketch's signs and buckets."""

    @property
    def fixed(self) -> float:
        """What does not grow with the graph."""
        rest = self.working + self.hidden + self.logits + self.projections + self.sketch
        return self.weights + rest

    @property
    def whole(self) -> float:
        """The peak with the group in one piece."""
        return self.fixed + self.graph

    @property
    def least(self) -> float:
        """The peak of the group in one piece with checkpointing."""
        return self.fixed + self.checkpointed


def layer_bytes(shape: Shape, prompt: int, response: int, *, gathered: bool = False) -> float:
    """Count the bytes that one layer's graph keeps of one token.

    Weights do not require gradients, so a linear layer keeps nothing but its projected inputs.

    - Two norms keep their input in float32, and one float32 a token: 8 bytes a hidden value, and 8.
    - Attention keeps queries, keys, values and outputs, and one float32 a query head. Gathered
      sequences (`gathered`) hold the prompt once for each response.
    - The feed-forward block keeps the gate, what its activation makes of it, and what it is
      multiplied with: 6 bytes an inner value.
    - The collector keeps seven projected inputs.
    """
    times = GROUP * (prompt + response - 1) / packed_tokens(prompt, response) if gathered else 1.0
    attention = 4 * shape.hidden + 4 * shape.keys + 4 * shape.heads
    return 8 * shape.hidden + 8 + times * attention + 6 * shape.inner + 7 * WIDTH * 2


def memory(shape: Shape, prompt: int, response: int) -> Memory:
    """Count the memory of a group's row in bfloat16, with attention over the packed tokens."""
    tokens = packed_tokens(prompt, response)
    places = 1 + GROUP * (response - 1)
    layer = layer_bytes(shape, prompt, response)
    inputs = sum(i for _, i in shape.products)
    width = FOLD * SKETCH
    return Memory(
        weights=2 * shape.parameters,
        per_token=layer * shape.layers,
        graph=tokens * layer * shape.layers,
        checkpointed=tokens * (2 * shape.hidden * shape.layers + layer),
        working=3 * 2 * tokens * shape.inner,
        hidden=2 * shape.hidden * (2 * tokens + 2 * places),
        logits=CHUNK_VALUES * (2 + 3 * 4 + 2),
        projections=2 * WIDTH * shape.layers * inputs,
        sketch=4 * width + 3 * 4 * width + 8 * width,
    )


def token_budget(shape: Shape, prompt: int, response: int, card: float) -> int:
    """Return the tokens of a batch that the engine would choose on a card, 0 if none fits."""
    need = memory(shape, prompt, response)
    free = card - CONTEXT - need.weights - need.projections
    return int(max(0, min(MAX_TOKENS, BUDGET_SHARE * free / need.per_token)))


def training_bytes(shape: Shape) -> float:
    """Count what native training of all weights in bfloat16 holds, without activations.

    bfloat16 weights (2), float32 master weights (4), their gradients (4), AdamW's moments (8).
    """
    return 18 * shape.parameters


def fit(shape: Shape, prompt: int, response: int, card: float) -> str:
    """Say how a group's row is computed on a card."""
    need = memory(shape, prompt, response)
    if CONTEXT + need.weights > card:
        return "does not fit"
    budget = token_budget(shape, prompt, response, card)
    if budget >= packed_tokens(prompt, response):
        return "whole"
    if budget >= prompt + response - 1:
        each = (budget - prompt) // (response - 1)
        return f"{-(-GROUP // each)} parts"
    return "8 parts, checkpointed"


def operations_table() -> str:
    """Return the table of operations and times."""
    lines = [
        "| model | tokens | rollouts, TFLOP | row, TFLOP | step, TFLOP | row / step "
        "| rollouts, s | row, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for shape in SHAPES.values():
        for prompt, response in LENGTHS:
            sampled = rollout_operations(shape, prompt, response)
            row = row_operations(shape, prompt, response)
            step = step_operations(shape, prompt, response)
            lines.append(
                f"| {shape.name} | {prompt} + {GROUP} x {response} | {sampled / 1e12:.1f} "
                f"| {row / 1e12:.1f} | {step / 1e12:.1f} | {row / step:.2f} "
                f"| {seconds(sampled):.3f} | {seconds(row):.3f} |"
            )
    return "\n".join(lines)


def memory_table(shape: Shape = SHAPES["7b"], prompt: int = 100, response: int = 1500) -> str:
    """Return the table of the terms of a row's memory."""
    need = memory(shape, prompt, response)
    terms = {
        "weights": need.weights,
        "graph, the group in one piece": need.graph,
        "graph, with checkpointing": need.checkpointed,
        "gradients inside one layer": need.working,
        "last hidden states and their gradients": need.hidden,
        "one chunk of logits": need.logits,
        "projections of the inputs": need.projections,
        "folded row, signs and buckets of the sketch": need.sketch,
        "**peak, the group in one piece**": need.whole,
        "**peak, with checkpointing**": need.least,
    }
    lines = ["| term | GB |", "| --- | --- |"]
    return "\n".join(lines + [f"| {name} | {value / 1e9:.3f} |" for name, value in terms.items()])


def cards_table() -> str:
    """Return the table of which rows and trainings fit which card."""
    lines = [
        "| card | " + " | ".join(f"row, {name}, 8 x 1500" for name in SHAPES) + " | training |",
        "| --- | " + "--- | " * len(SHAPES) + "--- |",
    ]
    for size, card in CARDS.items():
        cells = [fit(shape, 100, 1500, card) for shape in SHAPES.values()]
        # Two thirds for the weights and the optimiser; the rest for activations.
        full = [s.name for s in SHAPES.values() if training_bytes(s) < 2 / 3 * card]
        trained = f"all weights up to {full[-1]}" if full else "LoRA"
        lines.append(f"| {size} GB | " + " | ".join(cells) + f" | {trained} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    for table in (operations_table(), memory_table(), cards_table()):
        print(f"{table}\n")


if __name__ == "__main__":
    main()
