"""A worker process: reads problems with their completions as JSON lines, writes judgements.

For each request it writes a line once its verifier is imported, a line about the gold, then a line
a completion, each as soon as it is known, so that whoever waits knows which one hangs.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from learnalign.verifying.judgement import Judgement

#: A request in, the gold's judgement (None if it is good) and then each completion's out.
Judge = Callable[[dict[str, Any]], Iterator[Judgement | None]]


@cache
def verifier(kind: str) -> Judge:
    """Import a verifier: ``math``, ``text``, ``choice``, ``number``, ``reasoning_gym`` or a name.

    Example:
        >>> request = {"gold": "2", "row": {}, "completions": ["it is 2", "3"]}
        >>> [j and j.verdict for j in verifier("number")(request)]
        [None, 'correct', 'wrong']
    """
    if ":" in kind:
        from learnalign.verifying.function import call, load_function

        function = load_function(kind)
        return lambda request: iter([None, *call(function, request)])
    if kind == "math":
        from learnalign.verifying import math

        return _one_by_one(math.parse_gold, math.judge, "gold")
    if kind == "reasoning_gym":
        from learnalign.verifying import gym

        return _one_by_one(gym.parse_gold, gym.judge, "row")
    from learnalign.verifying import simple

    return _one_by_one(getattr(simple, f"parse_{kind}"), getattr(simple, f"judge_{kind}"), "gold")


def _one_by_one(
    parse: Callable[[Any], Any], judge: Callable[[Any, str], Judgement], key: str
) -> Judge:
    def judgements(request: dict[str, Any]) -> Iterator[Judgement | None]:
        gold = parse(request[key])
        if gold is None:
            yield Judgement("unparsed_gold", None, detail=f"no answer in '{request['gold']}'")
            return
        yield None
        for completion in request["completions"]:
            try:
                yield judge(gold, completion)
            except Exception as error:  # whatever a verifier trips over is a verdict, not a crash
                yield _failure(error)

    return judgements


def main() -> None:
    """Serve requests until the input ends; what a verifier prints goes to the error stream."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        expected = 1 + len(request["completions"])
        sent = 0
        try:
            judge = verifier(request["kind"])
            _send(output, "loaded")
            for judgement in judge(request):
                _send(output, judgement and dataclasses.asdict(judgement))
                sent += 1
        except Exception as error:  # a user's function may raise anything
            plain = dataclasses.asdict(_failure(error))
            for place in range(sent, expected):
                _send(output, plain if place else None)


def _failure(error: Exception) -> Judgement:
    return Judgement("error", None, detail=f"{type(error).__name__}: {error}")


def _send(output: Any, content: Any) -> None:
    output.write(json.dumps(content) + "\n")
    output.flush()


if __name__ == "__main__":
    main()
