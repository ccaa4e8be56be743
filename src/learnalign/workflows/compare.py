"""Compare methods on the same runs: which problems each selects, and how much they overlap."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.order import required_stages
from learnalign.pipeline.run_stages import run_stages
from learnalign.runs.folder import RunFolder
from learnalign.storage import files
from learnalign.terminal.progress import Progress
from learnalign.workflows.select import ranked
from learnalign.workflows.warmup import run_warmup


@dataclass(frozen=True)
class Choice:
    """The problems that one method selects."""

    method: str
    run: str
    problem_ids: list[str]
    """Best first."""
    success_rate: float
    """Mean over the chosen."""
    with_signal: float
    """Share of the chosen that some rollouts solve and others do not."""
    response_tokens: float
    """Mean over the chosen of their mean response length."""
    prompt_tokens: float
    """Mean over the chosen."""
    sources: dict[str, int]
    """Number of chosen problems by source, largest first."""
    stability: float | None
    """Expected overlap with an independent re-run; see `selecting.stability`."""

    @property
    def label(self) -> str:
        """The method, and the run if there are several."""
        return f"{self.method} ({self.run})" if self.run else self.method


@dataclass(frozen=True)
class Comparison:
    """The choices of several methods."""

    path: Path
    choices: list[Choice]
    overlaps: list[list[float]]
    """For each pair, the share of the first's problems that the second also selects."""
    num_problems: int
    """Size of the largest pool; two random selections overlap by K divided by this."""


def compare(
    configs: Sequence[Config], methods: Sequence[str], *, out: Path, progress: Progress
) -> Comparison:
    """Let each method select from each run; compute tables that a method needs and a run lacks.

    Args:
        configs: The runs' options, with the budget to compare at.
        methods: Names; see `selecting.methods.METHODS`.
        out: Output folder for ``compare.json``, ``compare.html`` and, for each choice, a file of
            ids for ``train --subset``.
        progress: Shows the tables being computed.

    Raises:
        LearnAlignError: for an unknown method, no budget, or a method whose input is missing.
    """
    for config in configs:
        if config.selection.budget is None:
            raise LearnAlignError(
                "got no budget", expected="how many problems each selects", do="give --budget"
            )
        for method in methods:
            required_stages(method, config)
    names = [config.run.out.name if len(configs) > 1 else "" for config in configs]
    choices, sizes = [], []
    for config, name in zip(configs, names, strict=True):
        folder = RunFolder.existing(config.run.out, needs="verdicts")
        with folder.locked():
            _complete(folder, config, methods, progress)
            for method in methods:
                selection = config.selection.model_copy(update={"method": method})
                changed = config.model_copy(update={"selection": selection})
                ranking = ranked(folder, changed, progress)
                choices.append(_choice(folder, method, name, ranking.scores, ranking.summary))
                sizes.append(ranking.scores.num_rows)
    sets = [set(choice.problem_ids) for choice in choices]
    overlaps = [[len(one & other) / max(1, len(one)) for other in sets] for one in sets]
    comparison = Comparison(out, choices, overlaps, max(sizes))
    _write(comparison)
    return comparison


def _complete(
    folder: RunFolder, config: Config, methods: Sequence[str], progress: Progress
) -> None:
    """Compute the tables that the methods need and the run lacks."""
    for method in methods:
        wanted = required_stages(method, config)
        record = folder.manifest.stages
        if any(stage not in record or not record[stage].complete for stage in wanted):
            # The folder's config.yaml must still replay its own selection, not the comparison.
            own = load_config(folder.path / "config.yaml")
            requested = own.model_copy(update={"features": config.features})
            warm = run_warmup(config, progress=progress)
            run_stages(folder, warm, wanted, progress=progress, requested=requested)


def _choice(
    folder: RunFolder, method: str, run: str, scores: pa.Table, summary: dict[str, object]
) -> Choice:
    """Describe the chosen problems."""
    chosen = scores.filter(scores["selected"])
    ids: list[str] = chosen["problem_id"].to_pylist()
    wanted = pa.array(ids, pa.string())
    lengths = [
        pc.list_value_length(shard.filter(pc.is_in(shard["problem_id"], wanted))["prompt_ids"])
        for shard in folder.shards("problems")
    ]
    learnable = np.asarray(chosen["learnability"].to_numpy(), dtype=np.float64)
    stability = summary["stability"]
    return Choice(
        method=method,
        run=run,
        problem_ids=ids,
        success_rate=_mean(chosen["success_rate"]),
        with_signal=float((learnable > 0.0).mean()) if len(ids) else 0.0,
        response_tokens=_mean(chosen["mean_response_tokens"]),
        prompt_tokens=_mean(pa.chunked_array([c for part in lengths for c in part.chunks])),
        sources=dict(Counter(chosen["source"].to_pylist()).most_common()),
        stability=stability["expected_overlap"] if isinstance(stability, dict) else None,
    )


def _mean(values: pa.ChunkedArray) -> float:
    mean = pc.mean(values).as_py()
    return float("nan") if mean is None else float(mean)


def _write(comparison: Comparison) -> None:
    """Write ``compare.json``, the files of ids, and the chart."""
    from learnalign.reporting.comparison import write_picture

    out = comparison.path
    for choice in comparison.choices:
        name = choice.label.replace(" ", "-").replace("(", "").replace(")", "")
        files.write_text(out / f"{name}.txt", "".join(f"{i}\n" for i in choice.problem_ids))
    plain = {
        "num_problems": comparison.num_problems,
        "choices": [
            {key: value for key, value in asdict(choice).items() if key != "problem_ids"}
            | {"num_chosen": len(choice.problem_ids)}
            for choice in comparison.choices
        ],
        "overlaps": comparison.overlaps,
    }
    files.write_text(out / "compare.json", json.dumps(plain, indent=1) + "\n")
    write_picture(
        out / "compare.html",
        [choice.label for choice in comparison.choices],
        comparison.overlaps,
        [choice.sources for choice in comparison.choices],
    )
