"""How fast answers are judged: in a worker's loop, and in a whole batch from a trainer.

Nothing is timed twice in one process: what a verifier or sympy remembers of an answer would make it
look faster than it is on answers that it sees for the first time. Each pass is a separate fork,
warmed up with other problems.
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

#: What a trainer passes at once, and what it is warmed up with first.
PROBLEMS, COMPLETIONS, BEFORE = 64, 8, 12
#: One problem of so many is for warming up.
WARM = 10


def _requests(kind: str, known: list[Known]) -> list[dict[str, Any]]:
    """Write what a worker is asked, a problem a request."""
    made = []
    for one in known:
        question = Question((one.gold,), one.prompt, {})
        asked = {"task": "judge", "kind": route(kind, question), "golds": [one.gold], "row": {}}
        made.append(asked | {"prompt": one.prompt, "completions": one.completions})
    return made


def _one_pass(kind: str, known: list[Known]) -> tuple[float, list[float]]:
    """Judge all; return the seconds for all, golds included, and those of each verdict."""
    requests = _requests(kind, known)
    algebra = Known("", r"\frac{\sqrt{x}}{2}", [r"\boxed{0.5 x^{1/2}}"], [])
    for request in [*_requests("math", [algebra]), *requests[::WARM]]:
        list(judgements(request))  # whatever is imported only when it is needed is now there
    single = []
    begin = last = time.perf_counter()
    for number, request in enumerate(requests):
        if number % WARM:
            for place, _ in enumerate(judgements(request)):
                now = time.perf_counter()
                if place:
                    single.append(now - last)
                last = now
    return time.perf_counter() - begin, single


def _one_step(kind: str, known: list[Known]) -> float:
    """Reward the completions of a step at once; return the seconds."""
    function = {"math": rewards.math, "number": rewards.number}[kind]
    seconds = 0.0
    for groups in (known[:BEFORE], known[BEFORE:]):  # the second time is kept
        texts = [text for one in groups for text in one.completions]
        golds = [one.gold for one in groups for _ in one.completions]
        begin = time.perf_counter()
        function(texts, solution=golds)
        seconds = time.perf_counter() - begin
    return seconds


def _forked(function: Any, repeat: int, *arguments: Any) -> list[Any]:
    """Call a function some times, each time in a process that has not seen the answers."""
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return [pool.apply(function, arguments) for _ in range(repeat)]


def in_a_worker(name: str, kind: str, known: list[Known], repeat: int) -> dict[str, Figure]:
    """Measure verdicts a second in one worker, and how long the slowest of them take."""
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
    """Measure a reward function that gets the completions of a whole step at once."""
    groups = [one for one in known if kind != "number" or is_number(one.gold)]
    groups = groups[: BEFORE + PROBLEMS]
    count = sum(len(one.completions) for one in groups[BEFORE:])
    assert count == PROBLEMS * COMPLETIONS, count
    seconds = _forked(_one_step, repeat, kind, groups)
    name = f"a trainer's step of {count} completions, {kind}"
    return {name: Figure(median(seconds), "s", "lower", (max(seconds) - min(seconds)) / 2.0)}
