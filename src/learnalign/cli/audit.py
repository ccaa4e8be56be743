"""``learnalign audit``: problems that a person should look at."""

from pathlib import Path

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo_json


@click.command()
@click.argument("run", type=o.PATH_OR_URL)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the counts and the first of each kind."
)
def command(run: Path, as_json: bool) -> None:
    """List the problems of RUN that a person should look at, with the evidence.

    Golds that are probably wrong or that the verifier does not accept, guessable answers,
    questions that state their answer, rewards that do not follow the answer, near copies with
    different golds, unreadable rollouts, and kinds of problems without any signal. RUN is the
    folder of a select, rollout or profile. The list is written as a page and as a table; `select`
    and `score` leave the problems of a kind out with --drop.

    \b
      learnalign audit runs/x
      learnalign score runs/x --budget 1000 --drop wrong-gold,unfollowed-reward
    """  # noqa: D301
    resolved = o.run_config(run)
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.audit import run_audit

    done = run_audit(resolved, progress=Progress("none" if as_json else "auto"))
    if as_json:
        echo_json(done.summary)
        return
    from learnalign.cli.audit_output import print_audit

    print_audit(done)
