"""The built-in verifiers: how each parses a gold, judges, and writes a gold as an answer."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from learnalign.verifying.answers.thinking import after_thinking
from learnalign.verifying.judgement import Judgement, failed, unparsed
from learnalign.verifying.question import Question

_THINKING = "the thinking was not finished"


@dataclass(frozen=True)
class Kind:
    """One kind of answer: pure functions, run in a worker."""

    parse: Callable[[str, Question], Any]
    """Reads a gold answer; None if there is nothing to be read."""
    compare: Callable[[Any, str], Judgement]
    """Judges a completion against a parsed gold."""
    written: Callable[[str], tuple[str, ...]]
    """Writes a gold as completions, at least one of which must be judged correct."""

    def judge(self, request: Mapping[str, Any]) -> Iterator[Judgement | None]:
        """Judge completions: a right answer is one that any of the golds accepts.

        Args:
            request: ``golds``, ``row``, ``prompt`` and ``completions``.

        Yields:
            The gold's judgement (None if one of them can be read), then each completion's.
        """
        parsed, reason = self._parsed(request)
        if not parsed:
            yield Judgement("unparsed_gold", None, detail=reason)
            return
        yield None
        prompt = request.get("prompt") or ""
        for completion in request["completions"]:
            text = after_thinking(
                completion, prompt=prompt, unfinished=request.get("unfinished_thinking", False)
            )
            yield self._best(parsed, text) if text is not None else unparsed(_THINKING)

    def check(self, problem: Mapping[str, Any]) -> Judgement:
        """Check golds by judging each against itself.

        Args:
            problem: ``golds``, ``row`` and ``prompt``.

        Returns:
            correct, unparsed_gold, or wrong where no gold accepts itself as an answer.
        """
        parsed, reason = self._parsed(problem)
        if not parsed:
            return Judgement("unparsed_gold", None, detail=reason)
        found = Judgement("wrong", 0.0)
        for gold in problem["golds"]:
            for completion in self.written(gold):
                found = self._best(parsed, completion)
                if found.verdict == "correct":
                    return found
        read = "nothing" if found.parsed_answer is None else f"'{found.parsed_answer}'"
        detail = f"the gold '{problem['golds'][0]}' does not accept itself as an answer"
        return Judgement("wrong", 0.0, detail=f"{detail}: {found.detail or f'read as {read}'}")

    def _parsed(self, problem: Mapping[str, Any]) -> tuple[list[Any], str]:
        """Read the golds; give those that could be read, and why not if there are none."""
        question = Question.of(problem)
        found, reason = [], f"no answer in '{problem['golds'][0]}'"
        for gold in problem["golds"]:
            try:
                parsed = self.parse(gold, question)
            except Exception as error:  # a parser may trip over anything
                reason = f"the gold '{gold}': {type(error).__name__}: {error}"
                continue
            if parsed is not None:
                found.append(parsed)
        return found, reason

    def _best(self, golds: list[Any], completion: str) -> Judgement:
        """Judge by the first gold; by the others only what it does not call correct."""
        first = self._compare(golds[0], completion)
        if first.verdict == "correct":
            return first
        for gold in golds[1:]:
            other = self._compare(gold, completion)
            if other.verdict == "correct":
                return other
        return first

    def _compare(self, gold: Any, completion: str) -> Judgement:
        try:
            return self.compare(gold, completion)
        except (RecursionError, MemoryError) as error:
            return unparsed(f"too deep or too large to parse: {type(error).__name__}")
        except Exception as error:  # whatever a verifier trips over is a verdict, not a crash
            return failed(f"{type(error).__name__}: {error}")


def named_kind(name: str) -> Kind:
    """Import a verifier by its name.

    Raises:
        LearnAlignError: if the package that it needs is not there.
    """
    module = import_module(f"learnalign.verifying.judges.{name}")
    if name == "reasoning_gym":
        module.load()
    if name in _ASKING:
        return Kind(module.parse_gold, module.judge, _WRITTEN.get(name, _boxed))
    return Kind(
        lambda gold, question: module.parse_gold(gold), module.judge, _WRITTEN.get(name, _boxed)
    )


def _boxed(gold: str) -> tuple[str, ...]:
    r"""Write a gold as a mathematical answer.

    Example:
        >>> _boxed("7"), _boxed(r"so $\boxed{7}$")
        (('\\boxed{7}', '7'), ('so $\\boxed{7}$',))
    """
    return (gold,) if "\\boxed" in gold else (f"\\boxed{{{gold}}}", gold)


def _tagged(gold: str) -> tuple[str, ...]:
    return f"<answer>{gold}</answer>", gold


#: Verifiers that look at the prompt or the row to read a gold.
_ASKING = ("math", "choice", "reasoning_gym")
_WRITTEN = {"text": _tagged, "code": _tagged, "reasoning_gym": lambda gold: (gold,)}
