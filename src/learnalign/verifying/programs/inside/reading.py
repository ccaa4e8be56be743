"""What the source of a test says: what it takes from the program, and whether it tests anything."""

import ast
import builtins
import sys

#: Names of libraries that tests use without importing them, as the programs they were written for
#: import them. The tests take them from the library: a program must not bring its own comparison.
_MODULES = {"np": "numpy", "pd": "pandas", "numpy": "numpy", "pandas": "pandas"}
_MEMBERS = {
    **dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), "collections"),
    **dict.fromkeys(("isclose", "inf", "nan"), "math"),
}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def free_names(tree: ast.Module) -> set[str]:
    r"""Return the names that code uses but neither defines nor imports; no built-in ones.

    If there are none, but built-in functions are called, then these are under test.

    Example:
        >>> free_names(ast.parse("x = 3\nassert f(x) == len(y)")) == {"f", "y"}
        True
        >>> free_names(ast.parse("assert sum(10, 15) == 6"))
        {'sum'}
    """
    used: set[str] = set()
    bound = {"solution"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    free = used - bound
    imports = any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)
    ordinary = free - set(dir(builtins))
    return ordinary if ordinary or imports else free & _called(tree)


def library_names(tree: ast.Module, names: set[str]) -> dict[str, tuple[str, str]]:
    r"""Return the free names of a test that mean a library's, with the module and its member.

    A module is one whose attributes are used. A member of one (`Counter`) means the library's if
    the test calls something else too: that is the function under test.

    Args:
        tree: The test.
        names: Its free names.

    Example:
        >>> tree = ast.parse("assert Counter(f(1)) == Counter([2]) and math.isclose(f(2), 3)")
        >>> found = library_names(tree, free_names(tree))
        >>> found == {"Counter": ("collections", "Counter"), "math": ("math", "")}
        True
        >>> tree = ast.parse("c = Counter()\nassert c.count() == 0")
        >>> library_names(tree, free_names(tree))
        {}
    """
    bases = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    called = _called(tree) & names
    found = {
        name: (_MODULES.get(name, name), "")
        for name in (names & bases) - called
        if name in _MODULES or name in sys.stdlib_module_names
    }
    if called - _MEMBERS.keys():
        found |= {name: (_MEMBERS[name], name) for name in names & _MEMBERS.keys()}
    return found


def needs_pytest(tree: ast.Module) -> bool:
    r"""Return whether tests are pytest's: they import it, or have parameters, which it fills in.

    Example:
        >>> needs_pytest(ast.parse("def test_f(tmp_path): assert f(tmp_path)"))
        True
        >>> needs_pytest(ast.parse("class TestF:\n    def test_f(self): assert f(1)"))
        False
    """
    functions = [node for node in tree.body if is_test_function(node)]
    methods = [n for node in classes_of_tests(tree) for n in node.body if is_test_function(n)]
    return (
        any(_imports(node, "pytest") for node in tree.body)
        or any(_num_parameters(node) > 0 for node in functions)
        or any(_num_parameters(node) > 1 for node in methods)
    )


def classes_of_tests(tree: ast.Module) -> list[ast.ClassDef]:
    """Return the classes of tests: unittest's, and those called Test with methods of tests."""
    return [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and (node.name.startswith("Test") or any(map(_is_test_case, node.bases)))
        and any(map(is_test_function, node.body))
    ]


def is_test_function(node: ast.stmt) -> bool:
    """Return whether a statement defines a function of tests."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def checks_something(tree: ast.Module) -> bool:
    r"""Return whether running code, or collecting its tests, can fail at all.

    Example:
        >>> checks_something(ast.parse("assert f(1) == 2"))
        True
        >>> checks_something(ast.parse("def check(candidate):\n    assert candidate(1) == 2"))
        False
    """
    return bool(classes_of_tests(tree)) or any(
        is_test_function(node)
        or (not isinstance(node, _DEFINITIONS) and not _is_main(node) and _acts(node))
        for node in tree.body
    )


def _is_test_case(base: ast.expr) -> bool:
    return ast.unparse(base).endswith("TestCase")


def _num_parameters(node: ast.AST) -> int:
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return len(node.args.posonlyargs) + len(node.args.args)


def _imports(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] == name
    return isinstance(node, ast.Import) and any(
        alias.name.partition(".")[0] == name for alias in node.names
    )


def _is_main(node: ast.stmt) -> bool:
    """Return whether a statement is only for a file that is run by itself."""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _acts(node: ast.stmt) -> bool:
    return any(isinstance(inner, ast.Assert | ast.Call | ast.Raise) for inner in ast.walk(node))


def _called(tree: ast.AST) -> set[str]:
    return {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
