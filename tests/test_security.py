"""What SECURITY.md says is so: its files and tests exist, data is never code, text is escaped."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from learnalign.problems.gym import gym_rows
from learnalign.reporting.comparison import write_picture
from learnalign.verifying.processes import WorkerProcess
from learnalign.verifying.question import Question
from learnalign.verifying.routing import KINDS, route

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "SECURITY.md").read_text()
#: What runs code, or may: called by these names, whatever the module.
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
LOADS_CODE = {("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load"), ("os", "system")}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def test_the_page_is_short_and_names_what_exists() -> None:
    assert len(PAGE.splitlines()) < 70
    for path, name in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE):
        file = ROOT / "tests" / path if name else ROOT / "src" / "learnalign" / path
        file = file if file.is_file() else ROOT / path
        assert file.is_file(), path
        assert not name or f"def {name}(" in file.read_text(), f"{path}::{name}"


def _calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The module (or an empty text) and the name of each function that is called.

    torch's loading of weights alone, said so explicitly, runs nothing and is left out.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if words.get("weights_only") == "True":
                continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield "", node.func.id
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            yield (owner.id if isinstance(owner, ast.Name) else "?"), node.func.attr


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        if isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def _faults(source: str) -> set[str]:
    """What in a module could run data."""
    tree = ast.parse(source)
    calls = set(_calls(tree))
    found = {name for owner, name in calls if not owner and name in RUNS_CODE}
    found |= {".".join(call) for call in calls & LOADS_CODE}
    found |= PICKLES & set(_imports(tree))
    words = [
        word for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords
    ]
    return found | {str(word.arg) for word in words if word.arg in ("shell", "allow_pickle")}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import load",
        "eval('1')",
        "torch.load(path)",
        "yaml.load(text)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_what_would_run_data_is_found(source: str) -> None:
    assert _faults(source)


def test_loading_weights_alone_is_no_fault() -> None:
    assert not _faults("torch.load(path, weights_only=True)")
    assert _faults("torch.load(path, weights_only=False)")
    assert _faults("eval(text, weights_only=True)")


def test_the_source_runs_no_data() -> None:
    """Except inside the sandboxes, whose modules that run code are not imported."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        if "inside" not in path.parts:
            assert not _faults(path.read_text()), path
            assert not re.search(r"inside(\.| import )(program|tests)\b", path.read_text()), path


# --- code in an answer

#: Gold answers of every form that `auto` tells apart.
GOLDS = {
    "math": r"\frac{x}{2}",
    "number": "12",
    "choice": "(B)",
    "words": "yes",
    "time": "2:30 pm",
    "code": "{'a': [1, 2]}",
    "text": "12",
}


def _completions(code: str) -> list[str]:
    forms = ["{}", r"\boxed{{{}}}", "<answer>{}</answer>", "$x_{{{}}}$", "```python\n{}\n```"]
    forms += ["[{}]", r"\boxed{{\sin({})}}", "The answer is `{}`", "#### {}"]
    return [form.format(code) for form in forms]


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    made = WorkerProcess(20.0, 4096)
    yield made
    made.close()


def _ran(worker: WorkerProcess, kind: str, gold: str, row: object, mark: Path) -> bool:
    """Judge answers that would leave a file behind if they were executed."""
    completions = _completions(f"__import__('pathlib').Path('{mark}').touch()")
    request = {"kind": kind, "golds": [gold], "row": row, "prompt": "", "messages": []}
    ids: list[list[int]] = [[]] * len(completions)
    worker.judge(request | {"completions": completions, "completion_ids": ids})
    return mark.exists()


@pytest.mark.parametrize("kind", sorted(GOLDS))
def test_no_answer_is_executed(worker: WorkerProcess, kind: str, tmp_path: Path) -> None:
    assert not _ran(worker, kind, GOLDS[kind], {}, tmp_path / "ran")


def test_every_verifier_with_a_name_is_among_them() -> None:
    assert set(GOLDS) | {"auto", "program", "reasoning_gym"} == set(KINDS)
    chosen = {route("auto", Question((gold,))) for gold in GOLDS.values()}
    assert chosen == set(GOLDS) - {"text"}


def test_the_answers_would_leave_their_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that executes answers, as a user's may, is told apart."""
    code = "def f(completions, **_):\n    for text in completions:\n        try: eval(text)\n"
    (tmp_path / "trusting.py").write_text(f"{code}        except Exception: pass\n")
    monkeypatch.chdir(tmp_path)
    own = WorkerProcess(20.0, 4096)
    assert _ran(own, "trusting:f", "1", {}, tmp_path / "ran")
    own.close()


@pytest.mark.parametrize("name", ["spiral_matrix", "polynomial_multiplication", "countdown"])
def test_answers_to_generated_problems_are_not_executed(
    worker: WorkerProcess, name: str, tmp_path: Path
) -> None:
    (row,) = gym_rows(f"reasoning-gym:{name}?size=1&seed=1")
    assert not _ran(worker, "reasoning_gym", row["answer"], row, tmp_path / "ran")


# --- pages without a policy


def test_a_name_is_no_markup_in_a_page_that_plotly_draws(tmp_path: Path) -> None:
    evil = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    scripts = []
    for name in ("harmless", evil):
        write_picture(tmp_path / "page.html", [name, "b"], [[1, 0], [0, 1]], [{name: 1}, {}])
        text = (tmp_path / "page.html").read_text()
        assert "<img src=x" not in text
        scripts.append((text.count("<script"), text.count("</script")))
    assert scripts[0] == scripts[1]
