"""SmolLM2 taught to write its steps: supervised fine-tuning of a LoRA adapter of a few MB.

It learns worked solutions of 50 to 150 tokens: word problems made for it (`word_problems`), or
GSM8K's, of which a model this small solves hardly any. The result is the policy of
``learnalign_vs.py --preset steps``. Held-out problems are judged before, during and after by
LearnAlign's own engine and verifier. Run the same command to resume.

    python benchmarks/steps_model.py --steps 60 --batch-size 4 --learning-rate 2e-3   # the preset's
    python benchmarks/steps_model.py --minutes 3 --device cpu            # as much as fits
    python benchmarks/steps_model.py --device cuda --batch-size 32       # the whole: three passes
    python benchmarks/steps_model.py --dry-run --tflops 300            # only how long it takes
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import worked_problems
from fine_tuning import Example, FineTuning
from harness import ROOT, Figure, publish
from held_out import Held
from learnalign import load_config
from learnalign.config import ModelConfig
from learnalign.models.loading import load_tokenizer, load_trainable, resolve_device, resolve_dtype
from learnalign.storage.folders import atomic_folder
from training_time import EPOCHS, described, tokens_per_second, whole

MODEL = "models/SmolLM2-135M-Instruct"
CONFIG = ROOT / "benchmarks" / "presets" / "steps.yaml"
OUT = ROOT / "runs" / "steps-model"


@dataclass(frozen=True)
class Teaching:
    """The model, the data and the settings; each output folder belongs to one of these."""

    model: str
    data: str = "generated"
    steps: int | None = None
    minutes: float | None = None
    """Of training, evaluations aside; the speed of two batches tells how many steps that is."""
    batch_size: int = 8
    learning_rate: float = 1e-3
    rank: int = 8
    seed: int = 0
    num_held_out: int = 64
    evaluate_every: int | None = None
    """Steps; None evaluates before and after only."""
    save_every: int = 20


def rows_of(data: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the problems to learn and those held out; generated ones where GSM8K is absent."""
    if data == "gsm8k" and (worked_problems.GSM8K / "train.jsonl").is_file():
        return worked_problems.gsm8k()
    if data == "gsm8k":
        print(f"{worked_problems.GSM8K} has no train.jsonl: learning generated problems")
    return worked_problems.generated()


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def prepare(given: Teaching, device: str) -> tuple[FineTuning, Held, Any]:
    """Load model and problems, and set the number of steps if it is known."""
    config = load_config(CONFIG)
    source = ModelConfig(path=given.model, device=device)
    tokenizer = load_tokenizer(source)
    model = load_trainable(
        source,
        parameters="lora",
        lora_rank=given.rank,
        seed=given.seed,
        dtype=resolve_dtype("auto", resolve_device(device)),
    )
    train, held_out = rows_of(given.data)
    examples = worked_problems.examples(train, tokenizer, config)
    steps = given.steps or -(-EPOCHS * len(examples) // given.batch_size)
    training = _training(given, model, examples, steps)
    return training, Held(held_out[: given.num_held_out], tokenizer, config), tokenizer


def _training(given: Teaching, model: Any, examples: Sequence[Example], steps: int) -> FineTuning:
    return FineTuning(
        model,
        examples,
        batch_size=given.batch_size,
        num_steps=steps,
        learning_rate=given.learning_rate,
        seed=given.seed,
    )


def _planned(training: FineTuning, given: Teaching, out: Path, rate: float) -> FineTuning:
    """Fix the number of steps, or take what the first call in this folder fixed."""
    path = out / "plan.json"
    if path.is_file():
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["given"] != asdict(given):
            sys.exit(f"{path} is of other options: give them again, or another --out")
    else:
        steps = training.num_steps
        if given.minutes is not None:
            tokens = sum(e.num_tokens for e in training.examples) / len(training.examples)
            steps = max(1, round(60 * given.minutes * rate / (tokens * given.batch_size)))
        plan = {"given": asdict(given), "steps": steps}
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plan), encoding="utf-8")
    if plan["steps"] == training.num_steps:
        return training
    return _training(given, training.model, training.examples, plan["steps"])


def teach(
    given: Teaching, out: Path, *, device: str, tflops: float | None = None
) -> dict[str, Any]:
    """Train the steps that are left, evaluate, and write the adapter to ``OUT/adapter``.

    Returns:
        Its notes: ``whole`` (by arithmetic), ``losses``, ``evaluations``, ``train_s``.
    """
    training, held, tokenizer = prepare(given, device)
    rate = tokens_per_second(training)
    estimate = whole(training.model, training.examples, rate, tflops)
    say(described(estimate))
    training = _planned(training, given, out, rate)
    training.load(out)
    notes = training.notes = training.notes or {"losses": [], "evaluations": [], "train_s": 0.0}
    if training.done:
        say(f"going on after step {training.done}")
    else:
        _evaluate(training, held, given)
    while training.done < training.num_steps:
        begin = time.monotonic()
        loss = training.step()
        notes["train_s"] += time.monotonic() - begin
        notes["losses"].append(loss)
        last = training.done == training.num_steps
        told = f"step {training.done}/{training.num_steps}  loss {loss:.3f}"
        left = notes["train_s"] / training.done * (training.num_steps - training.done)
        say(f"{told}  {left:.0f} s of training left")
        if last:
            _round(training)
        every = given.evaluate_every
        if last or (every and training.done % every == 0):
            _evaluate(training, held, given)
        if last or training.done % given.save_every == 0:
            training.save(out)
    with atomic_folder(out / "adapter") as folder:
        training.model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    _halve(out / "adapter" / "adapter_model.safetensors")
    learned = sum(e.num_tokens for step in range(training.done) for e in training.batch(step))
    estimate = whole(training.model, training.examples, learned / notes["train_s"], tflops)
    say(described(estimate))
    return {**notes, "whole": estimate, "num_steps": training.num_steps}


def _evaluate(training: FineTuning, held: Held, given: Teaching) -> None:
    found = {"step": training.done, **held.evaluate(training.model, given.batch_size)}
    training.notes["evaluations"].append(found)
    say(
        f"held out: {found['log_likelihood']:.3f} nats a token, {found['accuracy']:.1%} of "
        f"{found['num_problems']} right, {found['share_ended']:.0%} ended"
    )


def _round(training: FineTuning) -> None:
    """Round the adapter to bfloat16, in which it is written: half the bytes."""
    with torch.no_grad():
        for parameter in training.named.values():
            parameter.copy_(parameter.bfloat16())


def _halve(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    rounded = {name: value.bfloat16() for name, value in load_file(path).items()}
    save_file(rounded, path, metadata={"format": "pt"})


def figures(notes: dict[str, Any], adapter: Path) -> dict[str, Figure]:
    """Return the figures: what changed on held-out problems, speed, size."""
    before, after = notes["evaluations"][0], notes["evaluations"][-1]
    size = (adapter / "adapter_model.safetensors").stat().st_size
    found = {
        "log-likelihood before": Figure(before["log_likelihood"], "nats/token", "higher"),
        "log-likelihood after": Figure(after["log_likelihood"], "nats/token", "higher"),
        "accuracy before": Figure(before["accuracy"], "", "higher"),
        "accuracy after": Figure(after["accuracy"], "", "higher", goal=before["accuracy"]),
        "tokens a second": Figure(notes["whole"]["tokens_per_second"], "tokens/s", "higher"),
        "the whole, here": Figure(notes["whole"]["seconds_here"] / 60, "minutes", "lower"),
        "adapter": Figure(size / 2**20, "MiB", "lower"),
    }
    if "tflops" in notes["whole"]:
        seconds = notes["whole"]["seconds_at_tflops"]
        found["the whole, at the given TFLOP/s"] = Figure(seconds, "s", "lower")
    return found


def main() -> None:
    """Teach, and write the adapter and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--data", default="generated", choices=("generated", "gsm8k"))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="by default three passes over the problems")
    length.add_argument("--minutes", type=float, help="of training; evaluations come on top")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-held-out", type=int, default=64)
    parser.add_argument("--evaluate-every", type=int, help="steps")
    parser.add_argument("--save-every", type=int, default=20, help="steps")
    parser.add_argument(
        "--tflops", type=float, help="a card's matrix rate, to say how long it takes"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say how long it takes")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = vars(parser.parse_args())
    names = set(Teaching.__dataclass_fields__)
    given = Teaching(**{name: value for name, value in options.items() if name in names})
    begin = time.monotonic()
    if options["dry_run"]:
        training, *_ = prepare(given, options["device"])
        rate = tokens_per_second(training)
        say(described(whole(training.model, training.examples, rate, options["tflops"])))
        return
    notes = teach(given, options["out"], device=options["device"], tflops=options["tflops"])
    publish(
        "steps_model",
        begin,
        figures(notes, options["out"] / "adapter"),
        [{"given": asdict(given)}, notes],
        command=shlex.join(["python", "benchmarks/steps_model.py", *sys.argv[1:]]),
        folder=options["results"],
    )


if __name__ == "__main__":
    main()
