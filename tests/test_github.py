"""What the repository's host reads: the workflow runs what there is, the forms ask what we need."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from learnalign.tables import VERDICT_KINDS
from learnalign.verifying.routing import KINDS

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERBS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _tree(path: Path) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # "on" is a text
    return tree


def _steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in _tree(workflow)["jobs"].values() for step in job["steps"]]


def _commands(text: str) -> list[str]:
    """The verbs of make in a script, those of the scripts that it calls included."""
    found = re.findall(r"^\s*make ([a-z-]+)", text, re.MULTILINE)
    for name in re.findall(r"^\s*(\.ci/\w+)", text, re.MULTILINE):
        assert os.access(ROOT / name, os.X_OK), name
        found += _commands((ROOT / name).read_text())
    return found


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_the_makefile_has(workflow: Path) -> None:
    tree = _tree(workflow)
    assert {"push", "pull_request"} <= set(tree["on"])
    assert tree["permissions"] == {"contents": "read"}
    verbs = {verb for step in _steps(workflow) for verb in _commands(step.get("run", ""))}
    assert verbs <= VERBS
    assert verbs >= {"test", "lint", "docs"}
    for step in _steps(workflow):
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/checkout@v4"))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_it_claims_the_versions_that_the_package_claims(workflow: Path) -> None:
    (job,) = _tree(workflow)["jobs"].values()
    claimed = [
        name.removeprefix("Programming Language :: Python :: ")
        for name in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)
    ]
    assert job["strategy"]["matrix"]["python-version"] == claimed
    assert PROJECT["requires-python"] == f">={claimed[0]}"


def test_the_variables_that_it_sets_are_the_makefiles() -> None:
    for workflow in WORKFLOWS:
        for job in _tree(workflow)["jobs"].values():
            for name in job.get("env", {}):
                assert re.search(rf"^{name} \?=", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_a_form_is_whole(form: Path) -> None:
    tree = _tree(form)
    if form.name == "config.yml":
        assert set(tree) <= {"blank_issues_enabled", "contact_links"}
        return
    assert tree["name"]
    assert tree["description"]
    fields = [field for field in tree["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    ids = [field["id"] for field in fields]
    labels = [field["attributes"]["label"] for field in fields]
    assert len(set(ids)) == len(ids)
    assert len(set(labels)) == len(labels)
    assert all(field["attributes"]["options"] for field in fields if field["type"] == "dropdown")


def test_the_form_for_verdicts_knows_verifiers_and_verdicts() -> None:
    tree = _tree(ROOT / ".github" / "ISSUE_TEMPLATE" / "verdict.yml")
    fields = {field.get("id"): field for field in tree["body"]}
    required = {
        name for name, field in fields.items() if "required" in field.get("validations", {})
    }
    assert required >= {"gold", "completion", "verifier", "expected", "output"}
    assert tuple(fields["verifier"]["attributes"]["options"]) == KINDS
    assert set(fields["expected"]["attributes"]["options"]) == set(VERDICT_KINDS) - {
        "timed_out",
        "error",
    }


def test_the_checklist_names_what_exists() -> None:
    text = (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text()
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= VERBS
    for path in re.findall(r"`([\w./]+(?:\.\w+|/))`", text):
        assert (ROOT / path).exists() or (ROOT / "src" / "learnalign" / path).exists(), path
