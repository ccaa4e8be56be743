"""The audit workflow: problems of a run that a person should look at, as a table and a page."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign import __version__
from learnalign.auditing.finding import Finding
from learnalign.auditing.kinds import KINDS, find_all
from learnalign.auditing.problem import Problem, problems_of
from learnalign.config import Config
from learnalign.config.load import load_config
from learnalign.reporting.audit import write_page
from learnalign.runs.folder import RunFolder
from learnalign.storage import files
from learnalign.storage.paths import as_path
from learnalign.tables import FINDINGS
from learnalign.terminal.commands import command_line
from learnalign.terminal.progress import Progress, ProgressKind
from learnalign.verifying.verifier import open_verifier

#: The table, in the run folder.
TABLE = "audit/findings.parquet"
#: Findings of each kind in ``audit.json``.
_TOP = 10
_QUESTION, _EXCERPT, _ANSWERS = 600, 400, 8
_COLUMNS = ["problem_id", "source", "difficulty", "messages", "answer"]
_VERDICTS = ["problem_id", "sample", "verdict", "reward", "parsed_answer"]

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Audit:
    """A finished audit."""

    path: Path
    """The folder ``audit`` in the run folder."""
    findings: pa.Table
    """FINDINGS, by kind, the strongest evidence first."""
    summary: dict[str, Any]
    """Counts and the strongest findings of each kind, as in ``audit.json``."""


def audit(run: str | Path, *, progress: ProgressKind = "auto") -> Audit:
    """Find the problems of a run that a person should look at.

    Args:
        run: The folder of a run with verdicts: of a select, rollout or profile.
        progress: ``auto`` shows bars on a terminal and lines elsewhere; ``none`` is silent.

    Raises:
        LearnAlignError: for errors that the user can fix.
    """
    folder = as_path(str(run))
    RunFolder.existing(folder, needs="verdicts")
    config = load_config(folder / "config.yaml", overrides={"run.out": str(folder)})
    return run_audit(config, progress=Progress(progress))


def run_audit(config: Config, *, progress: Progress) -> Audit:
    """Audit the run in ``run.out``: write ``audit/findings.parquet``, ``audit.json`` and a page.

    Raises:
        LearnAlignError: if the folder has no verdicts, or another process works on it.
    """
    folder = RunFolder.existing(config.run.out, needs="verdicts")
    with folder.locked():
        return audited(folder, config, progress)


def audited(folder: RunFolder, config: Config, progress: Progress) -> Audit:
    """Audit a run. The folder must be locked."""
    excluded = folder.excluded().to_pylist()
    gone = {row["problem_id"] for row in excluded if row["stage"] != "problems"}
    rows = [row for batch in folder.batches("problems", _COLUMNS) for row in batch.to_pylist()]
    read, checked = _read_again(folder, config, progress)
    problems = problems_of(
        [row for row in rows if row["problem_id"] not in gone],
        (row for batch in folder.batches("verdicts", _VERDICTS) for row in batch.to_pylist()),
        read,
        _truncated(folder),
    )
    found = find_all(problems, excluded, checked)
    table = _table(found, problems, _excerpts(folder, found))
    folder.write_table(TABLE, table)
    summary = _summary(folder, found, problems)
    out = folder.path / "audit"
    text = json.dumps(summary, indent=1, ensure_ascii=False, default=str) + "\n"
    files.write_text(out / "audit.json", text)
    write_page(out / "audit.html", f"Audit of {folder.path.name}", summary, table)
    folder.save()
    return Audit(out, table, summary)


def findings(folder: RunFolder, config: Config, progress: Progress) -> pa.Table:
    """Return the FINDINGS of a run; it is audited unless it has been. The folder must be locked.

    An audit is deleted with the tables that it was computed from (`RunFolder.discard_tables`).
    """
    found = last_findings(folder)
    return audited(folder, config, progress).findings if found is None else found


def last_findings(folder: RunFolder) -> pa.Table | None:
    """Return the FINDINGS of a run; None if it has not been audited."""
    if TABLE not in folder.manifest.files:
        return None
    return folder.read_table(TABLE, do=f"run `{command_line('audit', folder.path)}` again")


def dropped(folder: RunFolder, config: Config, progress: Progress) -> dict[str, set[str]]:
    """Return the problems that ``selection.drop`` leaves out of the ranking, by kind."""
    if not config.selection.drop:
        return {}
    table = findings(folder, config, progress)
    table = table.filter(table["in_pool"])
    return {
        kind: set(table.filter(pc.equal(table["kind"], kind))["problem_id"].to_pylist())
        for kind in config.selection.drop
    }


def audit_counts(folder: RunFolder) -> dict[str, int] | None:
    """Count the findings of a run by kind; None if it has not been audited."""
    table = last_findings(folder)
    if table is None:
        return None
    counts = Counter(table["kind"].to_pylist())
    return {kind.name: counts[kind.name] for kind in KINDS}


def _read_again(
    folder: RunFolder, config: Config, progress: Progress
) -> tuple[Rows | None, dict[str, tuple[str, str]]]:
    """Let LearnAlign's verifiers read answers and golds where the run's rewards came without them.

    Returns:
        Rows of VERDICTS in the order of the run's, None if these have the answers; and why golds
        are not accepted, by problem, if reading the pool did not check that.
    """
    kind, recorded = config.verifier.kind, bool(config.rollouts.recorded)
    if ":" not in kind and not (kind == "auto" and recorded):
        return None, {}
    auto = config.verifier.model_copy(update={"kind": "auto"})
    count = sum(s.rows for s in folder.manifest.stages["problems"].shards.values())
    read: Rows = []
    reasons: dict[str, tuple[str, str]] = {}
    with open_verifier(auto) as verifier, progress.stage("answers", count) as advance:
        for index in sorted(folder.manifest.stages["verdicts"].shards):
            rollouts = folder.read_shard("rollouts", index)
            place = rollouts.schema.get_field_index("recorded_reward")
            nothing = pa.nulls(rollouts.num_rows, pa.float64())
            unjudged = rollouts.set_column(place, "recorded_reward", nothing)
            problems = folder.read_shard("problems", index)
            judged = verifier.verify(problems, unjudged, advance)
            read += judged.select(_VERDICTS).to_pylist()
            if recorded:
                rows = problems.select(["problem_id", "answer", "prompt", "row"]).to_pylist()
                pairs = zip(rows, verifier.check_golds(rows), strict=True)
                reasons |= {row["problem_id"]: why for row, why in pairs if why is not None}
    return read, reasons


def _truncated(folder: RunFolder) -> frozenset[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for batch in folder.batches("rollouts", ["problem_id", "sample", "finish_reason"]):
        cut = batch.filter(pc.equal(batch["finish_reason"], "length"))
        found.update(zip(cut["problem_id"].to_pylist(), cut["sample"].to_pylist(), strict=True))
    return frozenset(found)


def _excerpts(
    folder: RunFolder, found: Mapping[str, Sequence[Finding]]
) -> dict[tuple[str, int], str]:
    """Read the ends of the completions that findings refer to."""
    wanted = {
        (finding.problem_id, finding.sample)
        for part in found.values()
        for finding in part
        if finding.sample is not None
    }
    ids = pa.array(sorted({name for name, _ in wanted}), pa.string())
    texts = {}
    for batch in folder.batches("rollouts", ["problem_id", "sample", "completion"]):
        for row in batch.filter(pc.is_in(batch["problem_id"], ids)).to_pylist():
            key = row["problem_id"], row["sample"]
            if key in wanted:
                texts[key] = (row["completion"] or "")[-_EXCERPT:]
    return texts


def _table(
    found: Mapping[str, Sequence[Finding]],
    problems: Sequence[Problem],
    excerpts: Mapping[tuple[str, int], str],
) -> pa.Table:
    known = {problem.problem_id: problem for problem in problems}
    rows: Rows = []
    for kind, part in found.items():
        for rank, finding in enumerate(part, 1):
            problem = known.get(finding.problem_id)
            rows.append(
                {"kind": kind, "rank": rank}
                | asdict(finding)
                | {"in_pool": problem is not None}
                | ({} if problem is None else _about(problem))
                | {"excerpt": excerpts.get((finding.problem_id, finding.sample or 0))}
            )
    return pa.Table.from_pylist(rows, schema=FINDINGS)


def _about(problem: Problem) -> dict[str, Any]:
    return {
        "source": problem.source,
        "question": problem.question[:_QUESTION],
        "gold": problem.gold,
        "success_rate": problem.success_rate,
        "answers": [
            {"answer": answer, "count": count}
            for answer, count in problem.counts.most_common(_ANSWERS)
        ],
    }


def _summary(
    folder: RunFolder, found: Mapping[str, Sequence[Finding]], problems: Sequence[Problem]
) -> dict[str, Any]:
    known = {problem.problem_id for problem in problems}
    return {
        "run": str(folder.path),
        "learnalign": __version__,
        "problems": len(problems),
        "rollouts": sum(len(problem.answers) for problem in problems),
        "kinds": [
            asdict(kind)
            | {
                "count": len(found[kind.name]),
                "in_pool": sum(finding.problem_id in known for finding in found[kind.name]),
                "top": [asdict(finding) for finding in found[kind.name][:_TOP]],
            }
            for kind in KINDS
        ],
    }
