"""Load the configuration from a file, ``--set`` pairs and flags; write the resolved one."""

import hashlib
import platform
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from learnalign import __version__
from learnalign.config import Config
from learnalign.errors import LearnAlignError, nearest
from learnalign.storage import files

#: The last line of a run's config.yaml, with the hash of all lines above it.
_OWN_HASH = "# sha256 of the lines above, as the run wrote them: "
_PACKAGES = ("torch", "transformers", "math-verify", "pyarrow", "numpy")


def load_config(
    file: Path | None = None,
    *,
    sets: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Config:
    """Build the configuration from a file, ``--set a.b=c`` pairs and flags; later ones win.

    Args:
        file: YAML or TOML file; the ``config.yaml`` of a run folder replays the run.
        sets: Pairs such as ``rollouts.temperature=0.8``; the value is parsed as YAML.
        overrides: Values by dotted key; None means "not given".
        base: Sections and their options, overridden by all others.

    Raises:
        LearnAlignError: for a missing or broken file, an unknown key (the message names the
            nearest), or an invalid value.

    Example:
        >>> load_config(sets=["rollouts.num_rollouts=4"]).rollouts.num_rollouts
        4
        >>> load_config(sets=["rollouts.temprature=1"])
        Traceback (most recent call last):
        learnalign.errors.LearnAlignError: got the unknown option 'rollouts.temprature'
          expected: an option of 'rollouts': the nearest is 'temperature'
          to do: correct the name; `learnalign select --help` lists the options
    """
    tree = _merged(dict(base or {}), _read(file) if file else {})
    tree.pop("made_by", None)
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals:
            raise LearnAlignError(
                f"got --set {text}", expected="--set section.option=value", do="add the '='"
            )
        _put(tree, key.strip(), _value(key, value))
    for key, value in (overrides or {}).items():
        if value is not None and value != ():
            _put(tree, key, value)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise _explained(error, file) from error


def write_config(path: Path, config: Config) -> None:
    """Write the resolved configuration and package versions, so that the run can be replayed."""
    versions = {name: _version(name) for name in _PACKAGES}
    made_by = {
        "versions": {"learnalign": __version__, **versions},
        "python": platform.python_version(),
        "git": _git_hash(),
    }
    tree = config.model_dump(mode="json") | {"made_by": made_by}
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    files.write_text(path, f"{text}{_OWN_HASH}{hashlib.sha256(text.encode()).hexdigest()}\n")


def _read(file: Path) -> dict[str, Any]:
    if not files.is_file(file):
        raise LearnAlignError(
            f"{file} does not exist", expected="a YAML or TOML file", do="check the path"
        )
    try:
        text = files.read_text(file)
        _check_hash(text, file)
        tree = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise LearnAlignError(f"cannot read {file}: {error}", do="fix the file") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise LearnAlignError(
            f"{file} holds a {type(tree).__name__}",
            expected="sections such as 'rollouts:' with options below them",
            do="see a run folder's config.yaml for a complete example",
        )
    return tree


def _check_hash(text: str, file: Path) -> None:
    """Check that a run folder's config.yaml is unchanged; copies elsewhere may be edited."""
    written, line, digest = text.rpartition(_OWN_HASH)
    if not line or not files.is_file(file.parent / "manifest.json"):
        return
    if hashlib.sha256(written.encode()).hexdigest() != digest.strip():
        raise LearnAlignError(
            f"{file} has changed since the run wrote it",
            expected="the options that the run's tables were computed with",
            do="run the original command again to restore the file; if you changed it on purpose, "
            "delete its last line",
        )


def _value(key: str, text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LearnAlignError(
            f"cannot read the value of --set {key}={text}",
            expected="a YAML value: 3, true, [a, b], some words",
            do=f"quote text: --set '{key}=\"...\"'",
        ) from error


def _merged(below: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Override one tree's sections with another's, option by option."""
    tree = dict(below)
    for name, section in over.items():
        both = isinstance(section, dict) and isinstance(tree.get(name), dict)
        tree[name] = {**tree[name], **section} if both else section
    return tree


def _put(tree: dict[str, Any], key: str, value: object) -> None:
    *sections, last = key.split(".")
    for name in sections:
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            raise LearnAlignError(
                f"got the option '{key}', but '{name}' is an option, not a section"
            )
        tree = below
    tree[last] = value


def _explained(error: ValidationError, file: Path | None) -> LearnAlignError:
    """Turn the first validation error into a LearnAlignError."""
    first = error.errors()[0]
    ours = first.get("ctx", {}).get("error")
    if isinstance(ours, LearnAlignError):
        return ours
    path = [str(part) for part in first["loc"] if not str(part).startswith("function-")]
    key = ".".join(path)
    in_file = f" in {file}" if file else ""
    if first["type"] == "extra_forbidden":
        section: type[BaseModel] = Config
        for name in path[:-1]:
            annotation = section.model_fields[name].annotation
            assert isinstance(annotation, type)
            section = annotation
        kind = f"an option of '{'.'.join(path[:-1])}'" if path[:-1] else "a section"
        return LearnAlignError(
            f"got the unknown option '{key}'{in_file}",
            expected=f"{kind}: {nearest(path[-1], section.model_fields)}",
            do="correct the name; `learnalign select --help` lists the options",
        )
    return LearnAlignError(
        f"got {key} = {first['input']!r}{in_file}", expected=first["msg"], do="correct the value"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_hash() -> str | None:
    """Return the commit of the checkout that LearnAlign runs from; None if it is installed."""
    here = Path(__file__).resolve()
    output = ""
    # The environment may be inside the user's own repository, which does not track this file.
    for arguments in (["ls-files", "--error-unmatch", here.name], ["rev-parse", "HEAD"]):
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=here.parent, capture_output=True, text=True, timeout=5
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        output = done.stdout.strip()
    return output
