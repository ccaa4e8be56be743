"""Benchmarks by name, with their data sets, prompts and verifiers."""

from dataclasses import dataclass
from pathlib import Path

from learnalign.errors import LearnAlignError, nearest

_BOXED = "Reason step by step, and put the final answer within \\boxed{}."


@dataclass(frozen=True)
class Benchmark:
    """A set of problems to evaluate on."""

    name: str
    """Name in the results, and of its folder."""
    source: str
    """A path or spec for ``data.paths``."""
    split: str = "test"
    prompt_column: str | None = None
    answer_column: str | None = None
    instruction: str | None = None
    verifier: str | None = None
    """None uses the configuration's verifier."""


#: Each can also be read from a local file: ``gsm8k=path/to/test.jsonl``.
PRESETS = {
    "gsm8k": Benchmark("gsm8k", "openai/gsm8k:main", "test", "question", "answer", _BOXED, "math"),
    "math500": Benchmark(
        "math500", "HuggingFaceH4/MATH-500", "test", "problem", "answer", _BOXED, "math"
    ),
    "amc23": Benchmark("amc23", "math-ai/amc23", "test", "question", "answer", _BOXED, "math"),
    "aime24": Benchmark(
        "aime24", "HuggingFaceH4/aime_2024", "train", "problem", "answer", _BOXED, "math"
    ),
    "aime25": Benchmark("aime25", "math-ai/aime25", "test", "problem", "answer", _BOXED, "math"),
}


def benchmark_named(spec: str) -> Benchmark:
    """Parse a BENCHMARK argument: a preset, a preset with a local file, or any data.

    Raises:
        LearnAlignError: for an unknown name.

    Example:
        >>> benchmark_named("math500").source
        'HuggingFaceH4/MATH-500'
        >>> benchmark_named("reasoning-gym:chain_sum?size=10&seed=7").name
        'chain_sum'
    """
    if spec in PRESETS:
        return PRESETS[spec]
    name, equals, path = spec.partition("=")
    if equals and name in PRESETS:
        preset = PRESETS[name]
        # The copy may have other column names, so its columns are detected as for any data.
        return Benchmark(name, path, "test", None, None, preset.instruction, preset.verifier)
    if spec.startswith("reasoning-gym:"):
        return Benchmark(spec.partition(":")[2].partition("?")[0], spec)
    if "/" not in spec and not Path(spec).exists():
        raise LearnAlignError(
            f"got the benchmark '{spec}'",
            expected=f"{', '.join(PRESETS)}, NAME=FILE, a file, a hub name or a reasoning-gym "
            f"spec: {nearest(spec, PRESETS)}",
            do="correct the name",
        )
    return Benchmark(Path(spec.partition(":")[0]).name.split(".")[0], spec)
