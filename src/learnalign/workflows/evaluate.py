"""Evaluate a model on benchmarks, with greedy decoding and with samples."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.evaluating.accuracy import Accuracy, Difference, accuracy, difference
from learnalign.evaluating.benchmarks import Benchmark, benchmark_named
from learnalign.pipeline.order import stages_through
from learnalign.pipeline.run_stages import run_stages
from learnalign.pipeline.stages import reward_stats
from learnalign.runs.checked_folder import damaged
from learnalign.runs.folder import RunFolder
from learnalign.storage import files
from learnalign.storage.folders import remove_leftovers
from learnalign.storage.paths import is_remote
from learnalign.tables import EVALUATION
from learnalign.terminal.progress import Progress


@dataclass(frozen=True)
class Part:
    """The run of one benchmark in one mode."""

    benchmark: str
    mode: str
    """``pass@1`` (greedy) or ``mean@k``."""
    config: Config

    @property
    def below(self) -> str:
        """Its folder, relative to the evaluation's."""
        return f"{self.benchmark}/{self.mode.replace('@', '-')}/"

    def own_redo(self, redo: str | None) -> str | None:
        """Return the table of this run that --redo names, if any."""
        if redo is None or "/" not in redo:
            return redo
        return redo.removeprefix(self.below) if redo.startswith(self.below) else None


@dataclass(frozen=True)
class Result:
    """The result of one benchmark in one mode."""

    benchmark: str
    mode: str
    """``pass@1`` (greedy) or ``mean@k``."""
    accuracy: Accuracy
    num_excluded: int
    """Excluded problems: duplicates, and gold answers that cannot be read."""
    share_truncated: float
    against: Difference | None = None
    """Difference from the other evaluation."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    path: Path
    results: list[Result]
    scores: pa.Table
    """EVALUATION: one row per problem and mode."""


def evaluate(
    config: Config,
    benchmarks: list[str],
    *,
    samples: int = 0,
    greedy: bool = True,
    against: Path | None = None,
    redo: str | None = None,
    progress: Progress,
) -> Evaluation:
    """Measure a model's accuracy.

    Args:
        config: The model, prompt, rollouts (``temperature`` applies to the samples) and verifier;
            ``run.out`` is the evaluation's folder.
        benchmarks: Names, files or specs; see `benchmark_named`.
        samples: k of mean@k; 0 skips it.
        greedy: Whether to measure pass@1.
        against: Folder of another evaluation to compare with, problem by problem.
        redo: Table to recompute, with all later ones, in each benchmark's run, or in one run
            (``gsm8k/pass-1/rollouts``).
        progress: Shows the stages.

    Raises:
        LearnAlignError: for errors that the user can fix.
    """
    wanted = parts(config, benchmarks, samples=samples, greedy=greedy)
    others = None if against is None else _read_scores(against)
    _check_redo(redo, wanted)
    results, tables = [], []
    for part in wanted:
        folder = RunFolder(part.config.run.out, below=part.below)
        with folder.locked():
            stages = stages_through("verdicts", part.config)
            run_stages(folder, part.config, stages, progress=progress, redo=part.own_redo(redo))
            table = _scores(folder, part.benchmark, part.mode)
        tables.append(table)
        compared = None if others is None else _compare(table, others, config.run.seed)
        results.append(_result(part.benchmark, part.mode, table, folder, compared))
    scores = pa.concat_tables(tables)
    path = config.run.out
    if not is_remote(path):
        remove_leftovers([path])
    tree = {
        "evaluation_sha256": files.write_table(path / "evaluation.parquet", scores).sha256,
        "model": config.model.model_dump(mode="json"),
        "against": against and str(against),
        "results": [asdict(result) for result in results],
    }
    files.write_text(path / "results.json", json.dumps(tree, indent=1) + "\n")
    return Evaluation(path, results, scores)


def parts(config: Config, benchmarks: list[str], *, samples: int, greedy: bool) -> list[Part]:
    """List the runs of an evaluation; see `evaluate`.

    Raises:
        LearnAlignError: for an unknown or repeated benchmark, or nothing to measure.
    """
    wanted = [benchmark_named(spec) for spec in benchmarks]
    names = [benchmark.name for benchmark in wanted]
    if len(set(names)) < len(names) or not wanted:
        raise LearnAlignError(
            f"got the benchmarks {', '.join(names) or 'none'}",
            expected="at least one benchmark, and each only once",
            do="correct the list of benchmarks",
        )
    modes = ([("pass@1", 1, 0.0)] if greedy else []) + (
        [(f"mean@{samples}", samples, config.rollouts.temperature)] if samples else []
    )
    if not modes:
        raise LearnAlignError(
            "got --no-greedy without --samples: nothing to measure",
            expected="pass@1, mean@K, or both",
            do="give --samples K, or remove --no-greedy",
        )
    runs = []
    for benchmark in wanted:
        for mode, count, temperature in modes:
            out = config.run.out / benchmark.name / mode.replace("@", "-")
            run_config = _config(config, benchmark, out, count, temperature)
            runs.append(Part(benchmark.name, mode, run_config))
    return runs


def _config(
    config: Config, benchmark: Benchmark, out: Path, count: int, temperature: float
) -> Config:
    """Derive the configuration of one benchmark's run from the evaluation's."""
    data: dict[str, Any] = {
        "paths": (benchmark.source,),
        "split": benchmark.split,
        "keep_near_duplicates": True,
        "decontaminate": (),  # may list this very benchmark
        "prompt_column": config.data.prompt_column or benchmark.prompt_column,
        "answer_column": config.data.answer_column or benchmark.answer_column,
    }
    prompt = {"instruction": config.prompt.instruction or benchmark.instruction}
    kind = config.verifier.kind
    verifier = {"kind": benchmark.verifier or kind if kind == "auto" else kind}
    rollouts = {"num_rollouts": count, "temperature": temperature, "spend": "full"}
    if temperature == 0.0:
        rollouts["top_p"] = 1.0
    return config.model_copy(
        update={
            "data": config.data.model_copy(update=data),
            "prompt": config.prompt.model_copy(update=prompt),
            "verifier": config.verifier.model_copy(update=verifier),
            "rollouts": config.rollouts.model_copy(update=rollouts),
            # An evaluation selects nothing and runs no warm-up.
            "selection": config.selection.model_copy(update={"budget": None, "warmup": None}),
            "run": config.run.model_copy(update={"out": out}),
        }
    )


def _result(
    benchmark: str, mode: str, table: pa.Table, folder: RunFolder, compared: Difference | None
) -> Result:
    """Summarize one benchmark's scores."""
    truncated, rollouts = (pc.sum(table[c]).as_py() or 0 for c in ("num_truncated", "num_rollouts"))
    return Result(
        benchmark,
        mode,
        accuracy(table["score"].to_numpy()),
        folder.excluded().num_rows,
        truncated / max(1, rollouts),
        compared,
    )


def _scores(folder: RunFolder, benchmark: str, mode: str) -> pa.Table:
    table = reward_stats(folder)
    count = table.num_rows
    return pa.table(
        {
            "benchmark": pa.array([benchmark] * count, pa.string()),
            "mode": pa.array([mode] * count, pa.string()),
            "problem_id": table["problem_id"],
            "score": table["success_rate"],
            "num_rollouts": table["num_rollouts"],
            "num_truncated": table["num_truncated"],
        }
    ).cast(EVALUATION)


def _check_redo(redo: str | None, wanted: list[Part]) -> None:
    """Reject a --redo that matches none of the runs."""
    if redo is not None and not any(part.own_redo(redo) for part in wanted):
        raise LearnAlignError(
            f"got --redo {redo}",
            expected="a table, or a table of one run: " + ", ".join(p.below for p in wanted),
            do="correct it, for example --redo " + wanted[0].below + "rollouts",
        )


def _read_scores(path: Path) -> dict[tuple[str, str, str], float]:
    file = path / "evaluation.parquet"
    if not files.is_file(file):
        raise LearnAlignError(
            f"{path} is not an evaluation",
            expected="the folder of a finished `learnalign evaluate`",
            do="check --against",
        )
    do = f"run the `learnalign evaluate` that wrote {path} again, which restores the file"
    try:
        results = json.loads(files.read_text(path / "results.json"))
        expected = results.get("evaluation_sha256")  # missing in evaluations of older versions
        table = files.read_table(file, expected=expected)
    except files.DamagedFileError as error:
        raise damaged(file, str(error), do) from error
    except (FileNotFoundError, AttributeError, ValueError) as error:
        if isinstance(error, LearnAlignError):
            raise
        raise damaged(path / "results.json", str(error), do) from error
    keys = zip(*(table[c].to_pylist() for c in ("benchmark", "mode", "problem_id")), strict=True)
    return dict(zip(keys, table["score"].to_pylist(), strict=True))


def _compare(
    table: pa.Table, others: dict[tuple[str, str, str], float], seed: int
) -> Difference | None:
    """Compare with the other evaluation on the problems they share; None if there are none."""
    pairs = [
        (row["score"], others[row["benchmark"], row["mode"], row["problem_id"]])
        for row in table.to_pylist()
        if (row["benchmark"], row["mode"], row["problem_id"]) in others
    ]
    return difference(*zip(*pairs, strict=True), seed=seed) if pairs else None
