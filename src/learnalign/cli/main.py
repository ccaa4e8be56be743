"""The command ``learnalign`` and its verbs; a user's error is printed and ends with code 2."""

import importlib
import os
import signal
import sys
from contextlib import suppress

import click

from learnalign import __version__
from learnalign.cli.echo import echo, echo_unexpected_error, echo_usage_error
from learnalign.cli.quiet import quiet_libraries

_VERBS = {
    "select": "Choose the problems worth training on: everything, from data to report.",
    "warmup": "Train briefly on a few problems, to select with the policy that comes out.",
    "stages": "Select and train, and select again with the policy that came out.",
    "rollout": "Sample and verify rollouts, nothing else.",
    "verify": "Judge completions of your own, and hold the verdicts against another judge's.",
    "gradients": "Take the policy gradients of a run that has rollouts.",
    "score": "Rank the problems of a run anew: another budget, method or target.",
    "compare": "Let several methods choose from a run: overlaps, success rates, lengths.",
    "train": "Train a model by GRPO on the chosen problems.",
    "evaluate": "Measure a model's accuracy on benchmarks.",
    "export": "Hand the selection over to a trainer.",
    "report": "Write a run's report.html anew.",
    "prompt": "Print what the model will see for one problem.",
    "inspect": "Print everything a run knows of one problem.",
}


class _Verbs(click.Group):
    """Imports a verb when it is called, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = importlib.import_module(f"learnalign.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="learnalign")
def cli() -> None:
    """Choose, before training, the problems worth training on.

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

    _leave_current_folder_out()
    signals = _noted_signals()
    try:
        cli(standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        if signals or isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
            with suppress(OSError):  # the terminal may be gone
                click.echo("stopped; the same command goes on where it was", err=True)
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


def _leave_current_folder_out() -> None:
    """Import nothing more from the folder that somebody happens to stand in (``python -c``, -m)."""
    with suppress(OSError):  # that folder may be gone
        if sys.path and sys.path[0] in ("", os.getcwd()):
            del sys.path[0]


def _noted_signals() -> list[int]:
    """Have Ctrl-C, SIGTERM and SIGHUP noted in a list before they raise KeyboardInterrupt.

    Where that meets compiled code (pydantic's writing of JSON, say) it may come out as another
    error.
    """
    noted: list[int] = []

    def stop(number: int, frame: object) -> None:
        noted.append(number)
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)  # a second one does not wait
        raise KeyboardInterrupt

    # What is ignored stays so: Ctrl-C in a shell's background job, SIGHUP under nohup.
    usual = {signal.SIGINT: signal.default_int_handler}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is usual.get(number, signal.SIG_DFL):
            signal.signal(number, stop)
    return noted
