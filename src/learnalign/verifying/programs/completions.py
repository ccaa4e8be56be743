"""The program in a completion: the last fenced block, the text, or what continues a prompt."""

import ast
import re
import warnings

from learnalign.problems.suites.suite import UNPARSABLE

_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PYTHON = ("python", "python3", "py", "py3", "python2", "pycon", "")
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
#: Attempts to find the last line with which a continuation can be parsed.
_MAX_ATTEMPTS = 50


def program_of(completion: str, prefix: str = "", entry_point: str | None = None) -> str | None:
    r"""Return the program that a completion contains; None if it contains none.

    Fenced blocks of Python (or of no language) win, the last one that defines the function under
    test first; then the whole text, if it is a program; then the beginning of the program in the
    prompt with the completion behind it, without what follows the function.

    Args:
        completion: After the thinking.
        prefix: The beginning of the program that the prompt shows.
        entry_point: The function under test.

    Example:
        >>> program_of("Here it is:\n```python\nx = 1\n```\nDone.")
        'x = 1\n'
        >>> program_of("    return x\n", "def f(x):\n", "f")
        'def f(x):\n    return x\n'
        >>> program_of("I do not know.") is None
        True
    """
    blocks: list[str] = [
        body for _, language, body in _FENCE.findall(completion) if language.lower() in _PYTHON
    ]
    blocks = [block for block in blocks if block.strip()]
    if blocks:
        defining = [block for block in blocks if _defines(block, entry_point)]
        if defining:
            return _missing(prefix, defining[-1], entry_point) + defining[-1]
        if not prefix:
            return blocks[-1]
        return _joined(prefix, blocks[-1]) or blocks[-1]
    tagged = _TAGGED.findall(completion)
    text: str = tagged[-1] if tagged else completion
    if _defines(text, entry_point) or (not prefix and _is_program(text)):
        return _missing(prefix, text, entry_point) + text
    return _joined(prefix, text) if prefix else _from_first_definition(text)


def _joined(prefix: str, text: str) -> str | None:
    """Continue the program of a prompt, up to the last line with which it can be parsed.

    No line from the first wrong one on can be kept, so a few attempts find it.
    """
    lines = text.partition("\0")[0].rstrip().split("\n")
    before = prefix.count("\n")
    for _ in range(_MAX_ATTEMPTS):
        program = prefix + "\n".join(lines) + "\n"
        wrong = _wrong_line(program)
        if wrong is None:
            return program
        lines = lines[: max(0, min(len(lines) - 1, wrong - 1 - before))]
        if not lines:
            break
    return None


def _wrong_line(program: str) -> int | None:
    """Return the number of the line at which parsing fails; None if it does not."""
    try:
        _parse(program)
    except SyntaxError as error:
        return error.lineno or 1
    except UNPARSABLE:
        return 1
    return None


def _missing(prefix: str, program: str, entry_point: str | None) -> str:
    r"""Return what the prompt gives a program and the program does not repeat.

    These are the prompt's imports, classes and other functions. The prompt says that they are
    there; models often write nothing but the function.

    Example:
        >>> _missing("import math\ndef g(x):\n    return x\n\ndef f(x):\n", "def f(x): return g(x)", "f")
        'import math\ndef g(x):\n    return x\n'
        >>> _missing("import math\ndef f(x):\n", "def f(x): return x", "f")
        ''
    """  # noqa: E501
    given, tree = _parsed(prefix.rstrip() + "\n    pass\n") if prefix else None, _parsed(program)
    if given is None or tree is None or "__future__" in program:
        return ""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    bound = {entry_point, *(name for node in tree.body for name in _bound(node))}
    kept = [node for node in given.body if _bound(node) and not _bound(node) <= bound]
    definitions = [node for node in kept if not isinstance(node, ast.Import | ast.ImportFrom)]
    if not definitions and not any((_bound(node) - bound) & (names | {"*"}) for node in kept):
        return ""
    return "".join(ast.unparse(node) + "\n" for node in kept)


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a definition or an import binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return set()


def _from_first_definition(text: str) -> str | None:
    """Return the program that begins at the first line that can begin one; None without one."""
    match = re.search(r"^(?:from|import|def|class|@)\b", text, re.MULTILINE)
    return _joined("", text[match.start() :]) if match and match.start() else None


def _is_program(text: str) -> bool:
    """Return whether a text is a program, and not a sentence or a number that parses as one."""
    tree = _parsed(text)
    return tree is not None and any(
        not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in tree.body
    )


def _defines(text: str, name: str | None) -> bool:
    """Return whether a text is a program that defines a name, at the top or in a class."""
    if name is None:
        return _is_program(text)
    pattern = (
        rf"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{re.escape(name)}\b|^{re.escape(name)}[ \t]*="
    )
    return re.search(pattern, text, re.MULTILINE) is not None and _parsed(text) is not None


def _parsed(text: str) -> ast.Module | None:
    try:
        return _parse(text)
    except UNPARSABLE:
        return None


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)
