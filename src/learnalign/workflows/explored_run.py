"""Read one run as the page of `learnalign explore` and the figures of `learnalign plot` show it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from learnalign.auditing.kinds import KINDS
from learnalign.config import Config
from learnalign.config.load import load_config
from learnalign.exploring.fields import (
    Field,
    audit_fields,
    score_fields,
    tells_apart,
    verdict_fields,
)
from learnalign.exploring.maps import Basis, text_basis
from learnalign.exploring.packing import pack_texts
from learnalign.exploring.pool import PROMPTS_PER_BLOCK, ROLLOUTS_PER_BLOCK, Block
from learnalign.problems.suites.registry import is_tests
from learnalign.reporting.examples import attempts, readable_gold
from learnalign.runs.folder import RunFolder
from learnalign.selecting.statistics.alignment import unit_gradients
from learnalign.workflows.audit import last_findings


class ExploredRun:
    """A run's ranked problems, in the order of its data."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.config: Config = load_config(
            folder.path / "config.yaml", overrides={"run.out": str(folder.path)}
        )
        self.scores = folder.scores()
        self.findings = last_findings(folder)
        """FINDINGS; None if the run has not been audited."""
        wanted = self.scores["problem_id"].combine_chunks()
        columns = ["problem_id", "prompt", "answer", "messages", "prompt_ids"]
        shards = [
            shard.select(columns).filter(pc.is_in(shard["problem_id"], wanted))
            for shard in folder.shards("problems")
        ]
        table = pa.concat_tables(shards)
        self.ids: list[str] = table["problem_id"].to_pylist()
        self.prompts: list[str] = [prompt or "" for prompt in table["prompt"].to_pylist()]
        self.answers: list[str | None] = table["answer"].to_pylist()
        self.prompt_tokens = pc.list_value_length(table["prompt_ids"]).to_numpy().astype(np.float64)
        self.texts = [
            "\n".join(message["content"] or "" for message in chat or [])
            for chat in table["messages"].to_pylist()
        ]

    def rows(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """Return the position of each of ``ids`` among this run's problems, -1 for none."""
        index = {name: row for row, name in enumerate(self.ids)}
        return np.fromiter((index.get(name, -1) for name in ids), np.int32, len(ids))

    def fields(self) -> list[Field]:
        """Return what the tables say about each problem."""
        fields = score_fields(self.scores, self.ids)
        fields += verdict_fields(list(self.folder.shards("verdicts")), self.ids)
        fields.append(Field("prompt_tokens", "prompt tokens", "number", self.prompt_tokens))
        if self.findings is not None:
            fields += audit_fields(self.findings, [kind.name for kind in KINDS], self.ids)
        return [field for field in fields if tells_apart(field)]

    def bases(self) -> list[Basis]:
        """Read what places the problems: gradients and hidden states, if it has any, and texts."""
        kinds = (("gradients", "sketch", "gradients"), ("features", "hidden", "hidden states"))
        found = []
        for stage, column, label in kinds:
            record = self.folder.manifest.stages.get(stage)
            if record is None or not record.complete:
                continue
            batches = partial(self.folder.batches, stage)
            rows = unit_gradients(batches, self.ids, np.arange(len(self.ids)), column=column)
            if rows.any():
                found.append(Basis("hidden" if stage == "features" else stage, label, rows))
        return [*found, text_basis(self.texts)]

    def blocks(self) -> Iterator[Block]:
        """Yield the prompts, and the rollouts with gold answer and verdicts."""
        yield from pack_texts("prompts", self.prompts, PROMPTS_PER_BLOCK)
        yield from pack_texts("rollouts", self._attempts(), ROLLOUTS_PER_BLOCK)

    def _attempts(self) -> Iterator[dict[str, Any]]:
        """Yield each problem's gold answer, findings and rollouts, in the order of ``ids``."""
        findings: dict[str, list[dict[str, str]]] = {}
        for row in [] if self.findings is None else self.findings.to_pylist():
            said = {"kind": row["kind"], "evidence": row["evidence"]}
            findings.setdefault(row["problem_id"], []).append(said)
        pairs = zip(self.folder.shards("rollouts"), self.folder.shards("verdicts"), strict=True)
        waiting: dict[str, list[Any]] = {}
        for name, answer in zip(self.ids, self.answers, strict=True):
            while name not in waiting:
                pair = next(pairs, None)
                if pair is None:
                    break
                waiting |= attempts(*pair)
            yield {
                "answer": readable_gold(answer),
                "code": answer is not None and is_tests(answer),
                "findings": findings.get(name, []),
                "attempts": [asdict(one) for one in waiting.pop(name, [])],
            }


def spread(values: NDArray[Any], missing: float, *, rows: NDArray[np.int32]) -> NDArray[Any]:
    """Put a run's values in the pool's order."""
    found = values[np.maximum(rows, 0)].copy()
    found[rows < 0] = missing
    return found
