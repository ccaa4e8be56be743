"""How fast answers are judged: in a worker's loop, and handed over by a trainer all at once."""

import time
from statistics import median
from typing import Any

import numpy as np
from sympy.core.cache import clear_cache

from harness import Figure
from learnalign.verifying import rewards
from learnalign.verifying.question import Question
from learnalign.verifying.routing import route
from learnalign.verifying.worker import judgements
from verdict_sets import Known, is_number

#: What a trainer hands over at once.
PROBLEMS, COMPLETIONS = 64, 8


def _requests(kind: str, known: list[Known]) -> list[dict[str, Any]]:
    """Write what a worker is asked, a problem a request."""
    made = []
    for one in known:
        question = Question((one.gold,), one.prompt, {})
        asked = {"task": "judge", "kind": route(kind, question), "golds": [one.gold], "row": {}}
        made.append(asked | {"prompt": one.prompt, "completions": one.completions})
    return made


def _one_pass(requests: list[dict[str, Any]]) -> tuple[float, list[float]]:
    """Judge all; give the seconds for all, golds included, and those of each verdict."""
    clear_cache()  # what a pass has worked out is not at hand in the next one
    single = []
    begin = last = time.perf_counter()
    for request in requests:
        for place, _ in enumerate(judgements(request)):
            now = time.perf_counter()
            if place:
                single.append(now - last)
            last = now
    return time.perf_counter() - begin, single


def in_a_worker(name: str, kind: str, known: list[Known], repeat: int) -> dict[str, Figure]:
    """Measure verdicts a second in one worker, and how long the slowest of them take."""
    requests = _requests(kind, known)
    for _ in judgements(requests[0] | {"completions": ["1"]}):
        pass  # imports are no part of a verdict
    passes = [_one_pass(requests) for _ in range(repeat)]
    rates = [len(single) / total for total, single in passes]
    each = np.median([single for _, single in passes], axis=0) * 1000.0
    spread = float(np.ptp(rates)) / 2.0
    return {
        f"{name}, {kind}: speed": Figure(median(rates), "verdicts/s, worker", "higher", spread),
        f"{name}, {kind}: 99th percentile": Figure(float(np.quantile(each, 0.99)), "ms", "lower"),
        f"{name}, {kind}: slowest": Figure(float(each.max()), "ms", "lower"),
    }


def in_a_trainer(kind: str, known: list[Known], repeat: int) -> dict[str, Figure]:
    """Measure a reward function that gets the completions of a whole step at once."""
    groups = [one for one in known if kind != "number" or is_number(one.gold)][:PROBLEMS]
    texts = [text for one in groups for text in one.completions[:COMPLETIONS]]
    golds = [one.gold for one in groups for _ in one.completions[:COMPLETIONS]]
    function = {"math": rewards.math, "number": rewards.number}[kind]
    function(texts[:1], solution=golds[:1])
    seconds = []
    for _ in range(repeat):
        begin = time.perf_counter()
        function(texts, solution=golds)
        seconds.append(time.perf_counter() - begin)
    name = f"a trainer's step of {len(texts)} completions, {kind}"
    return {name: Figure(median(seconds), "s", "lower", (max(seconds) - min(seconds)) / 2.0)}
