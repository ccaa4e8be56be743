"""The speed of judging: in a worker's loop, and for a whole batch from a trainer.

Each pass runs in a separate fork, warmed up with other problems: in the same process, caches of the
verifier or sympy would make a second pass faster than on new answers.
"""

import multiprocessing
import time
from statistics import median
from typing import Any

import numpy as np

from harness import Figure
from learnalign.verifying import rewards
from learnalign.verifying.question import Question
from learnalign.verifying.routing import route
from learnalign.verifying.worker import judgements
from verdict_sets import Known, is_number

#: Problems and completions of a trainer's batch, and problems to warm up with.
PROBLEMS, COMPLETIONS, BEFORE = 64, 8, 12
#: Every n-th problem is used for warming up.
WARM = 10


def _requests(kind: str, known: list[Known]) -> list[dict[str, Any]]:
    """Create the requests to a worker, one per problem."""
    requests = []
    for one in known:
        question = Question((one.gold,), one.prompt, {})
        request = {"task": "judge", "kind": route(kind, question), "golds": [one.gold], "row": {}}
        requests.append(request | {"prompt": one.prompt, "completions": one.completions})
    return requests


def _one_pass(kind: str, known: list[Known]) -> tuple[float, list[float]]:
    """Judge all; return the total seconds, including golds, and the seconds of each verdict."""
    requests = _requests(kind, known)
    algebra = Known("", r"\frac{\sqrt{x}}{2}", [r"\boxed{0.5 x^{1/2}}"], [])
    for request in [*_requests("math", [algebra]), *requests[::WARM]]:
        list(judgements(request))  # triggers lazy imports
    single = []
    begin = last = time.perf_counter()
    for number, request in enumerate(requests):
        if number % WARM:
            for index, _ in enumerate(judgements(request)):
                now = time.perf_counter()
                if index:
                    single.append(now - last)
                last = now
    return time.perf_counter() - begin, single


def _one_step(kind: str, known: list[Known]) -> float:
    """Compute the rewards of a step's completions in one call; return the seconds."""
    function = {"math": rewards.math, "number": rewards.number}[kind]
    seconds = 0.0
    for groups in (known[:BEFORE], known[BEFORE:]):  # the first call warms up
        texts = [text for one in groups for text in one.completions]
        golds = [one.gold for one in groups for _ in one.completions]
        begin = time.perf_counter()
        function(texts, solution=golds)
        seconds = time.perf_counter() - begin
    return seconds


def _forked(function: Any, repeat: int, *arguments: Any) -> list[Any]:
    """Call a function ``repeat`` times, each time in a new process without cached answers."""
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return [pool.apply(function, arguments) for _ in range(repeat)]


def in_a_worker(name: str, kind: str, known: list[Known], repeat: int) -> dict[str, Figure]:
    """Measure verdicts per second in one worker, and the slowest verdicts."""
    passes = _forked(_one_pass, repeat, kind, known)
    rates = [len(single) / total for total, single in passes]
    each = np.median([single for _, single in passes], axis=0) * 1000.0
    spread = float(np.ptp(rates)) / 2.0
    return {
        f"{name}, {kind}: speed": Figure(median(rates), "verdicts/s, worker", "higher", spread),
        f"{name}, {kind}: 99th percentile": Figure(float(np.quantile(each, 0.99)), "ms", "lower"),
        f"{name}, {kind}: slowest": Figure(float(each.max()), "ms", "lower"),
    }


def in_a_trainer(kind: str, known: list[Known], repeat: int) -> dict[str, Figure]:
    """Measure a reward function called with all completions of a step."""
    groups = [one for one in known if kind != "number" or is_number(one.gold)]
    groups = groups[: BEFORE + PROBLEMS]
    count = sum(len(one.completions) for one in groups[BEFORE:])
    assert count == PROBLEMS * COMPLETIONS, count
    seconds = _forked(_one_step, repeat, kind, groups)
    name = f"a trainer's step of {count} completions, {kind}"
    return {name: Figure(median(seconds), "s", "lower", (max(seconds) - min(seconds)) / 2.0)}
