"""Problems and rankings to export."""

import json

import pyarrow as pa

from learnalign.tables import SCORES

OURS = {"problem_id", "rank", "score", "learnability", "alignment", "success_rate"}
PREFIXED = {f"learnalign_{name}" for name in OURS}


def problem(position, values, *, source_index=0, source_row=None, **changed):
    question = values.get("question", f"what is {position}?")
    return {
        "problem_id": f"p{position}",
        "position": position,
        "source_index": source_index,
        "source_row": position if source_row is None else source_row,
        "source": "unit",
        "messages": [{"role": "user", "content": question}],
        "answer": str(position),
        "row": json.dumps(values, default=str),
        "prompt": f"<user>{question}<assistant>",
        "prompt_ids": [1],
        **changed,
    }


def questions(count=10):
    return [problem(i, {"question": f"what is {i}é?", "answer": str(i)}) for i in range(count)]


def ranked(problems, selected=(7, 2, 5, 0)):
    """Rank the selected positions first, in that order, then the others."""
    rest = [p["position"] for p in problems if p["position"] not in selected]
    of = {p["position"]: p["problem_id"] for p in problems}
    rows = [
        {
            "problem_id": of[position],
            "rank": rank,
            "selected": rank <= len(selected),
            "score": 1 / rank,
            "learnability": 0.25,
            "alignment": 0.5,
            "success_rate": 0.5,
            "position": position,
        }
        for rank, position in enumerate([*selected, *rest], 1)
    ]
    return pa.Table.from_pylist(rows, schema=SCORES)
