"""``learnalign evaluate``: accuracy on benchmarks, with confidence intervals."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("model", required=False)
@click.argument("benchmarks", nargs=-1, metavar="BENCHMARK...")
@click.option("--samples", type=int, default=0, metavar="K", help="Also measure mean@K.")
@click.option("--no-greedy", is_flag=True, help="Skip greedy pass@1.")
@click.option("--against", type=o.PATH_OR_URL, help="Folder of another evaluation to compare with.")
@o.options("rollouts.temperature", "rollouts.top_p", "rollouts.max_tokens", "rollouts.stop")
@o.options(
    "rollouts.engine",
    "server.url",
    "rollouts.recorded",
    "verifier.kind",
    "verifier.sandbox",
    *o.PROMPT,
    "data.prompt_column",
)
@o.options("data.answer_column", "data.limit", *o.MODEL, *o.CLUSTER, *o.RUN)
@o.config_options
@click.option("--dry-run", is_flag=True, help="Print the resolved options and estimate the work.")
@click.option(
    "--redo",
    metavar="STAGE",
    help="Recompute a table and all later ones, in every run or in one (gsm8k/pass-1/rollouts).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    model: str | None,
    benchmarks: tuple[str, ...],
    samples: int,
    no_greedy: bool,
    against: Path | None,
    config: Path | None,
    sets: tuple[str, ...],
    dry_run: bool,
    redo: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Measure MODEL's accuracy on benchmarks: greedy pass@1, and mean@K from K samples.

    A BENCHMARK is gsm8k, math500, amc23, aime24 or aime25 (from the hub, or from a local copy:
    gsm8k=test.jsonl), any data that `select` reads, or a reasoning-gym spec. Run the same command
    to resume an interrupted evaluation.

    \b
      learnalign evaluate my/model gsm8k math500 --out runs/before
      learnalign evaluate runs/trained/model gsm8k math500 --out runs/after --against runs/before
    """  # noqa: D301
    overrides = {"run__out": "runs/evaluate"} | {k: v for k, v in flags.items() if v is not None}
    resolved = o.config_from(config, sets, overrides, model__path=model or None)
    named = list(benchmarks) or list(resolved.data.paths)
    if dry_run:
        from learnalign.workflows.estimate import dry_run_evaluation as plan

        greedy = not no_greedy
        echo(plan(resolved, named, samples=samples, greedy=greedy, as_json=as_json))
        return
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.evaluate import evaluate

    done = evaluate(
        resolved,
        named,
        samples=samples,
        greedy=not no_greedy,
        against=against,
        redo=redo,
        progress=Progress("none" if as_json else "auto"),
    )
    if as_json:
        results = [asdict(result) for result in done.results]
        echo_json({"out": str(done.path), "results": results})
        return
    from learnalign.cli.output import print_evaluation

    print_evaluation(done)
