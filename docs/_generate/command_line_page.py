"""The reference page of the command line, generated from the click commands."""

import inspect

import click

from learnalign.cli.main import cli


def command_line_page() -> str:
    """Write every verb with its arguments and options."""
    top = click.Context(cli, info_name="learnalign")
    parts = [
        "# Command line",
        "What each verb does and what each option means. This page is generated from the "
        "program: `learnalign VERB --help` prints the same. Every option is also part of the "
        "[configuration](options.md), so that a file can set it.",
    ]
    for verb in cli.list_commands(top):
        command = cli.get_command(top, verb)
        assert command is not None
        parts += _verb(command, click.Context(command, info_name=verb, parent=top))
    return "\n\n".join(parts) + "\n"


def _verb(command: click.Command, context: click.Context) -> list[str]:
    usage = command.get_usage(context).removeprefix("Usage: ")
    text = inspect.cleandoc(command.help or "").split("\f")[0]
    parts = [f"## {context.info_name}", f"    {' '.join(usage.split())}", _prose(text)]
    rows = [
        f"| {', '.join(f'`{name}`' for name in names)} | {_value(option)} | {_cell(option.help)} |"
        for option in command.get_params(context)
        if isinstance(option, click.Option) and (names := [*option.opts, *option.secondary_opts])
    ]
    return [*parts, "\n".join(["| option | value | meaning |", "| --- | --- | --- |", *rows])]


def _value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if option.metavar:
        kind = f"`{option.metavar}`"
    elif isinstance(option.type, click.Choice):
        kind = ", ".join(f"`{choice}`" for choice in option.type.choices)
    else:
        kind = f"`{option.type.name.upper()}`"
    return f"{kind}, repeatable" if option.multiple else kind


def _prose(text: str) -> str:
    r"""Turn click's paragraphs into Markdown's: after ``\b`` the lines stay as they are."""
    parts = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            title, *lines = paragraph.removeprefix("\b").strip("\n").splitlines()
            whole = title.startswith(" ") or not lines
            lines = [title, *lines] if whole else lines
            parts += [] if whole else [_escaped(title)]
            parts.append("\n".join(f"    {line.strip()}" for line in lines))
        else:
            parts.append(_escaped(paragraph))
    return "\n\n".join(parts)


def _cell(text: str | None) -> str:
    return _escaped(" ".join((text or "").split())).replace("|", "\\|")


def _escaped(text: str) -> str:
    for sign in ("\\", "<", "*", "[", "_"):
        text = text.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return text
