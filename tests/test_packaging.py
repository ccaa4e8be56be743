"""The wheel and the source archive hold what they should, and a wheel works without a checkout."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import learnalign

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "learnalign"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = "import sys; from hatchling import build; print(getattr(build, sys.argv[1])(sys.argv[2]))"


class Built(NamedTuple):
    """What a release is made of."""

    archive: Path
    wheel: Path


def _build(what: str, checkout: Path, out: Path) -> Path:
    """Call the build backend as pip and build do, without fetching anything."""
    command = [sys.executable, "-c", BUILD, f"build_{what}", str(out)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The source archive of this checkout, and the wheel made from what is in that archive."""
    assert PROJECT["build-system"]["build-backend"] == "hatchling.build"
    out = tmp_path_factory.mktemp("dist")
    archive = _build("sdist", ROOT, out)
    with tarfile.open(archive) as file:
        file.extractall(out, filter="data")
    unpacked = out / archive.name.removesuffix(".tar.gz")
    return Built(archive, _build("wheel", unpacked, out))


@pytest.fixture(scope="module")
def wheel_names(built: Built) -> set[str]:
    with zipfile.ZipFile(built.wheel) as file:
        return set(file.namelist())


def _package_files() -> set[str]:
    """Every file of the package, by its path from ``src/``."""
    return {
        path.relative_to(SOURCE.parent).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_is_the_package_and_nothing_else(built: Built, wheel_names: set[str]) -> None:
    about = f"learnalign-{PROJECT['project']['version']}.dist-info"
    beside = {f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    assert wheel_names == _package_files() | beside | {f"{about}/licenses/LICENSE"}
    assert built.wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_has_the_files_that_the_code_opens(wheel_names: set[str]) -> None:
    opened = {
        f"{path.parent.relative_to(SOURCE.parent).as_posix()}/{name}"
        for path in SOURCE.rglob("*.py")
        if "importlib.resources" in path.read_text()
        for name in re.findall(r'_part\("([^"]+)"\)', path.read_text())
    }
    assert opened >= {"learnalign/reporting/report.html.j2", "learnalign/reporting/report.css"}
    assert opened | {"learnalign/py.typed"} <= wheel_names


def test_the_archive_is_what_builds_the_wheel_and_says_whose_it_is(built: Built) -> None:
    with tarfile.open(built.archive) as file:
        members = [member for member in file.getmembers() if member.isfile()]
    top = built.archive.name.removesuffix(".tar.gz")
    names = {member.name.removeprefix(f"{top}/") for member in members}
    made = {"PKG-INFO", ".gitignore"}  # hatchling adds both
    known = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"}
    assert names - made == {f"src/{name}" for name in _package_files()} | known | {"SECURITY.md"}
    assert sum(member.size for member in members) < 4_000_000


def test_the_metadata_are_whole(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith("/METADATA")]
        text = file.read(name).decode()
    head = text.partition("\n\n")[0]
    fields: dict[str, list[str]] = {}
    for line in head.splitlines():
        field, _, value = line.partition(": ")
        fields.setdefault(field, []).append(value)
    assert fields["License-Expression"] == ["Apache-2.0"]
    assert fields["License-File"] == ["LICENSE"]
    assert fields["Requires-Python"] == [">=3.11"]
    assert {"Summary", "Author", "Keywords", "Description-Content-Type"} <= set(fields)
    assert "Typing :: Typed" in fields["Classifier"]
    assert text.endswith((ROOT / "README.md").read_text())


def test_the_version_is_said_in_one_place() -> None:
    assert learnalign.__version__ == version("learnalign") == PROJECT["project"]["version"]
    number = re.escape(PROJECT["project"]["version"])
    for path in SOURCE.rglob("*.py"):
        assert not re.search(rf"[\"']{number}[\"']", path.read_text()), path


# --- an environment that has the wheel, and this one's other packages


class Installed(NamedTuple):
    """An environment without a checkout, and an empty folder to stand in."""

    programs: Path
    here: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        names = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        done = subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=self.here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("bare")
    here = tmp_path_factory.mktemp("here")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    programs = folder / "env" / "bin"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python"]
    options = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    done = subprocess.run(
        [*pip, str(programs / "python"), *options, str(built.wheel)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    # A folder that comes by a .pth file has its own .pth files left alone: the checkout, which is
    # installed by one of them, is not on the path.
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "others.pth").write_text("\n".join(others))
    return Installed(programs, here)


def test_the_checkout_is_out_of_reach(installed: Installed) -> None:
    told = "print(json.dumps([learnalign.__file__, learnalign.__version__, sys.path]))"
    code = f"import json, sys, learnalign; {told}"
    file, number, path = json.loads(installed.run("python", "-c", code).stdout)
    assert Path(file).is_relative_to(installed.programs.parent)
    assert number == PROJECT["project"]["version"]
    assert not [entry for entry in path if (Path(entry) / "learnalign").is_dir()][1:]
    assert str(SOURCE.parent) not in path


def test_the_program_says_what_it_does(installed: Installed) -> None:
    assert "learnalign select" in installed.run("learnalign", "--help").stdout
    told = installed.run("learnalign", "--version").stdout
    assert told.split()[-1] == PROJECT["project"]["version"]


def test_it_judges_completions(installed: Installed) -> None:
    rows: list[dict[str, Any]] = [
        {"gold": "12", "completion": r"That makes \boxed{12}."},
        {"gold": r"\frac{1}{2}", "completion": "It is 0.75"},
    ]
    (installed.here / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = json.loads(installed.run("learnalign", "verify", "answers.jsonl", "--json").stdout)
    assert [row["verdict"] for row in said["verdicts"]] == ["correct", "wrong"]
    assert [path.name for path in installed.here.iterdir()] == ["answers.jsonl"]


def test_its_report_finds_its_template(installed: Installed) -> None:
    code = "from learnalign.reporting.report import _part; print(_part('report.html.j2'))"
    assert "<!doctype html>" in installed.run("python", "-c", code).stdout
