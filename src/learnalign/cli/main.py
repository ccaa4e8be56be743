"""The ``learnalign`` command group; user errors are printed and exit with code 2."""

import importlib
import os
import signal
import sys
from contextlib import suppress

import click

from learnalign import __version__
from learnalign.cli.echo import echo, echo_unexpected_error, echo_usage_error
from learnalign.cli.quiet import quiet_libraries

_COMMANDS = {
    "profile": "Sample a few problems: is choosing worth its cost, for this pool and model?",
    "select": "Choose the problems worth training on: the whole pipeline, from data to report.",
    "warmup": "Train briefly on a few problems, to select with the trained policy.",
    "stages": "Select, train, and select again with the trained policy.",
    "rollout": "Sample and verify rollouts, nothing else.",
    "verify": "Judge your own completions and compare the verdicts with another judge's.",
    "gradients": "Compute the policy gradients of a run that has rollouts.",
    "score": "Rank the problems of a run again with another budget, method or target.",
    "audit": "List the problems of a run that a person should look at, with the evidence.",
    "compare": "Compare what several methods select: overlaps, success rates, lengths.",
    "train": "Train a model with GRPO on the chosen problems.",
    "evaluate": "Measure a model's accuracy on benchmarks.",
    "export": "Export the selection for a trainer.",
    "report": "Regenerate a run's report.html.",
    "explore": "Look into the pool in your browser: a map of what each problem trains.",
    "plot": "Draw figures of a run for a paper, with their numbers.",
    "prompt": "Print what the model sees for one problem.",
    "inspect": "Print everything a run stores about one problem.",
}


class _Commands(click.Group):
    """Imports a command when it is called, which keeps ``--help`` fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"learnalign.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="learnalign")
def cli() -> None:
    """Choose the problems worth training on before you train.

    \b
    A first run:
      learnalign select Qwen/Qwen2.5-1.5B-Instruct train.jsonl --budget 1000 --out runs/x
      learnalign export runs/x --as trl
    """  # noqa: D301


@quiet_libraries()
def main() -> None:
    """Run the command line."""
    from learnalign.cli.limits import limit_reached
    from learnalign.errors import LearnAlignError

    _drop_current_folder()
    signals = _record_signals()
    try:
        cli(standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        if signals or isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
            with suppress(OSError):  # the terminal may be gone
                click.echo("Interrupted. Run the same command to resume.", err=True)
            sys.exit(128 + (signals or [signal.SIGINT])[0])
        if isinstance(error, click.ClickException):
            echo_usage_error(error)
            sys.exit(error.exit_code)
        error = limit_reached(error) or error
        if isinstance(error, LearnAlignError):
            echo(f"error: {error}", err=True)
            sys.exit(2)
        echo_unexpected_error(error)
        sys.exit(1)


def _drop_current_folder() -> None:
    """Remove the current folder from ``sys.path``, where ``python -c`` and ``-m`` put it."""
    with suppress(OSError):  # the folder may be gone
        if sys.path and sys.path[0] in ("", os.getcwd()):
            del sys.path[0]


def _record_signals() -> list[int]:
    """Append Ctrl-C, SIGTERM and SIGHUP to the returned list, then raise KeyboardInterrupt.

    The list is needed because compiled code (such as pydantic's JSON serializer) may turn the
    KeyboardInterrupt into another error.
    """
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        raise KeyboardInterrupt

    # Ignored signals stay ignored: Ctrl-C in a shell's background job, SIGHUP under nohup.
    defaults = {signal.SIGINT: signal.default_int_handler}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is defaults.get(number, signal.SIG_DFL):
            signal.signal(number, stop)
    return received
