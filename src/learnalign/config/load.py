"""One configuration out of a file, ``--set`` pairs and flags; the resolved one into a file."""

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

#: The last line of a run's own file; the hash is of what stands above.
_OWN_HASH = "# sha256 of the lines above, as the run wrote them: "
_PACKAGES = ("torch", "transformers", "math-verify", "pyarrow", "numpy")


def load_config(
    file: Path | None = None,
    *,
    sets: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Config:
    """Build the configuration: the file first, then ``--set a.b=c``, then flags.

    Args:
        file: YAML or TOML; the ``config.yaml`` of a run folder can be replayed.
        sets: Texts such as ``rollouts.temperature=0.8``; the value is read as YAML.
        overrides: Dotted keys to values; None means "not given".
        base: Sections and their options, below all others.

    Raises:
        LearnAlignError: for a missing or broken file, an unknown key (the nearest is named), and a
            value that does not fit.

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
    """Write the resolved configuration, with the versions that ran it, so it can be replayed."""
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
        raise LearnAlignError(f"got no file {file}", expected="a YAML or TOML file", do="check it")
    try:
        text = files.read_text(file)
        _compare(text, file)
        tree = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise LearnAlignError(f"cannot read {file}: {error}", do="mend the file") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise LearnAlignError(
            f"{file} holds a {type(tree).__name__}",
            expected="sections such as 'rollouts:' with options below them",
            do="see a run folder's config.yaml for a whole one",
        )
    return tree


def _compare(text: str, file: Path) -> None:
    """See that a run's own file is as the run wrote it; a copy elsewhere is the user's to edit."""
    written, line, own = text.rpartition(_OWN_HASH)
    if not line or not files.is_file(file.parent / "manifest.json"):
        return
    if hashlib.sha256(written.encode()).hexdigest() != own.strip():
        raise LearnAlignError(
            f"{file} is not the file that the run wrote",
            expected="the options that its tables were made with",
            do="run the command that made the folder once more, which writes it again; if you "
            "changed it on purpose, delete its last line",
        )


def _value(key: str, text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LearnAlignError(
            f"cannot read the value of --set {key}={text}",
            expected="a value as YAML writes it: 3, true, [a, b], some words",
            do=f"put text into quotes: --set '{key}=\"...\"'",
        ) from error


def _merged(below: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one tree's sections over another's, option by option."""
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
            raise LearnAlignError(f"got the option '{key}', but '{name}' is a value, no section")
        tree = below
    tree[last] = value


def _explained(error: ValidationError, file: Path | None) -> LearnAlignError:
    """Say the first thing that is wrong, in the user's words."""
    first = error.errors()[0]
    ours = first.get("ctx", {}).get("error")
    if isinstance(ours, LearnAlignError):
        return ours
    place = [str(part) for part in first["loc"] if not str(part).startswith("function-")]
    key = ".".join(place)
    where = f" in {file}" if file else ""
    if first["type"] == "extra_forbidden":
        section: type[BaseModel] = Config
        for name in place[:-1]:
            annotation = section.model_fields[name].annotation
            assert isinstance(annotation, type)
            section = annotation
        of = f"an option of '{'.'.join(place[:-1])}'" if place[:-1] else "a section"
        return LearnAlignError(
            f"got the unknown option '{key}'{where}",
            expected=f"{of}: {nearest(place[-1], section.model_fields)}",
            do="correct the name; `learnalign select --help` lists the options",
        )
    return LearnAlignError(
        f"got {key} = {first['input']!r}{where}", expected=first["msg"], do="correct the value"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_hash() -> str | None:
    """Name the commit of the checkout LearnAlign runs from; None for an installed package."""
    here = Path(__file__).resolve()
    found = ""
    # An environment may lie in a repository of the user's, which does not hold this file.
    for words in (["ls-files", "--error-unmatch", here.name], ["rev-parse", "HEAD"]):
        try:
            done = subprocess.run(
                ["git", *words], cwd=here.parent, capture_output=True, text=True, timeout=5
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        found = done.stdout.strip()
    return found
