"""A policy with 650,000 weights that can calculate, but is mostly careless.

Trained from scratch in 90 seconds on one thread on the kinds of ``arithmetic.py``, for comparisons
that need many runs. Two thirds of the training answers of most kinds of sums are careless: carries
are forgotten, third terms ignored, the smaller digit is subtracted from the larger. The model
learns both ways, so that sampled success rates spread from 0 to 1 and rewards can move it from one
to the other: by design, training changes a habit. Products of two digits and sums of three digits
are too hard for it; it can solve stories; it guesses remainders and divisors. No question of the
pool, test or development set is in its training text (in any order of terms).

    python benchmarks/tiny_model.py OUT
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import arithmetic

NUM_STEPS, BATCH, LEARNING_RATE = 600, 128, 6e-3
#: Tokens are digits, and words and signs with the space before them.
PATTERN = r" ?[A-Za-z]+| ?[+*=\-]|[0-9]|[,:]| "
PAD, END = "<pad>", "<end>"
Parts = list[tuple[torch.Tensor, torch.Tensor]]


def _no_carry(terms: list[int]) -> int:
    """Add digit by digit without carries."""
    places = range(len(str(max(terms))))
    return sum(sum(term // 10**k % 10 for term in terms) % 10 * 10**k for k in places)


def _no_borrow(terms: list[int]) -> int:
    """Subtract the smaller digit from the larger, at every place."""
    return sum(abs(terms[0] // 10**k % 10 - terms[1] // 10**k % 10) * 10**k for k in range(2))


#: For each kind: its share of the training text in per cent, the rate of careless answers, and how.
READING: dict[str, tuple[int, float, Callable[[list[int]], int] | None]] = {
    "small sums": (2, 0.0, None),
    "sums of 2 and 1 digits": (10, 0.65, _no_carry),
    "sums of 2 digits": (25, 0.65, _no_carry),
    "sums of 3 digits": (12, 0.5, _no_carry),
    "three terms": (12, 0.65, lambda terms: terms[0] + terms[1]),
    "differences": (12, 0.65, _no_borrow),
    "products by 1 digit": (8, 0.0, None),
    "products by 2 digits": (2, 0.0, None),
    "sequences": (8, 0.0, None),
    "remainders": (2, 0.0, None),
    "divisors": (2, 0.0, None),
    "stories": (6, 0.0, None),
}


def read(kind: str, rng: random.Random, held_out: set[str]) -> tuple[str, int]:
    """Return a question of a kind that is not held out, with a careful or careless answer."""
    _, rate, careless = READING[kind]
    while True:
        question, answer = arithmetic.KINDS[kind][1](rng)
        if arithmetic.key(kind, question) not in held_out:
            break
    if careless is not None and rng.random() < rate:
        answer = careless([int(term) for term in arithmetic.NUMBER.findall(question)])
    return question, answer


def make_tokenizer(questions: list[str]) -> PreTrainedTokenizerFast:
    """Create a tokenizer for the words, signs and digits in some questions."""
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    words = {word for text in questions for word, _ in split.pre_tokenize_str(text + " ")}
    vocabulary = [PAD, END, *sorted(words | set("0123456789"))]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, PAD))
    inner.pre_tokenizer, inner.decoder = split, decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=PAD, eos_token=END)


def make_model(vocabulary: int) -> LlamaForCausalLM:
    """Create the model with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
            bos_token_id=None,
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def batches(
    tokenizer: Any, rng: random.Random, held_out: set[str], num_steps: int
) -> Iterator[Parts]:
    """Yield each step's ids and labels (-100 on questions) in two parts: short and long rows."""
    kinds, shares = list(READING), [share for share, *_ in READING.values()]
    for _ in range(num_steps):
        pairs = [read(kind, rng, held_out) for kind in rng.choices(kinds, shares, k=BATCH)]
        questions = tokenizer([f"{question} " for question, _ in pairs])["input_ids"]
        answers = tokenizer([f"{answer}{END}" for _, answer in pairs])["input_ids"]
        encoded = zip(questions, answers, strict=True)
        rows = sorted(encoded, key=lambda row: len(row[0]) + len(row[1]))
        parts = []
        for part in (rows[: BATCH * 3 // 4], rows[BATCH * 3 // 4 :]):
            length = max(len(question) + len(answer) for question, answer in part)
            ids = torch.zeros(len(part), length, dtype=torch.long)
            labels = torch.full_like(ids, -100)
            for i, (question, answer) in enumerate(part):
                end = len(question) + len(answer)
                ids[i, :end] = torch.tensor(question + answer)
                labels[i, len(question) : end] = torch.tensor(answer)
            parts.append((ids, labels))
        yield parts


def fit(model: Any, reading: Iterator[Parts], num_steps: int) -> None:
    """Train on the answers' tokens, with Muon for the layers' matrices and AdamW for the rest."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "layers" in name]
    rest = [p for name, p in named if not (p.ndim == 2 and "layers" in name)]
    optimizers = (
        torch.optim.Muon(matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, weight_decay=0.0),
    )
    for step, parts in enumerate(reading):
        count = sum(int((labels != -100).sum()) for _, labels in parts)
        for ids, labels in parts:
            hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            labelled = labels[:, 1:] != -100
            logits, targets = model.lm_head(hidden[labelled]), labels[:, 1:][labelled]
            loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
            (loss / count).backward()
        rate = LEARNING_RATE * min(1.0, (step + 1) / 30, (num_steps - step) / (0.3 * num_steps))
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()


def make(out: Path, data: Path, *, seed: int = 0, num_steps: int = NUM_STEPS) -> None:
    """Train and write the model and its tokenizer.

    Args:
        out: Output folder.
        data: Folder of the pool, test and development problems to exclude from the training text.
        seed: Random seed.
        num_steps: Number of training steps.
    """
    rows = [json.loads(line) for path in data.glob("*.jsonl") for line in path.open()]
    held_out = {arithmetic.key(row["source"], row["question"]) for row in rows}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    kinds = [make for _, make in arithmetic.KINDS.values()]
    tokenizer = make_tokenizer([make(random.Random(i))[0] for make in kinds for i in range(400)])
    model = make_model(len(tokenizer))
    fit(model, batches(tokenizer, random.Random(seed), held_out, num_steps), num_steps)
    torch.set_num_threads(threads)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Make the model for the problems of ``learnalign_vs.py``'s preset ``tiny``."""
    from vs_presets import SIZES, WORK

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = WORK / "tiny" / "data"
    arithmetic.write(data, **SIZES, seed=2026)
    make(options.out, data, seed=options.seed)


if __name__ == "__main__":
    main()
