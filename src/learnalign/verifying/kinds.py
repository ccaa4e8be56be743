"""The built-in verifiers: parsing golds, judging completions, and formatting golds as answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from learnalign.verifying.answers import algebra
from learnalign.verifying.answers.thinking import after_thinking
from learnalign.verifying.judgement import Judgement, failed, unparsed
from learnalign.verifying.question import Question

if TYPE_CHECKING:
    from learnalign.verifying.programs.verdicts import Programs

_UNFINISHED = "the thinking was not finished"


def _nothing(texts: Iterable[str]) -> None:
    """Import nothing: the module of the verifier has imported all that it uses."""


@dataclass(frozen=True)
class Kind:
    """One kind of answer: pure functions, run in a worker."""

    parse: Callable[[str, Question], Any]
    """Parses a gold answer; returns None if it has no answer."""
    compare: Callable[[Any, str], Judgement]
    """Judges a completion against a parsed gold."""
    as_completions: Callable[[str], tuple[str, ...]]
    """Formats a gold as completions, at least one of which must be judged correct."""
    load_for: Callable[[Iterable[str]], None] = _nothing
    """Imports what these golds and completions need, before the time of the first one starts."""

    def judge(self, request: Mapping[str, Any]) -> Iterator[Judgement | None]:
        """Judge completions: an answer is correct if it matches any of the golds.

        Args:
            request: ``golds``, ``row``, ``prompt`` and ``completions``.

        Yields:
            The golds' judgement (None if at least one can be parsed), then each completion's.
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
            yield self._best(parsed, text) if text is not None else unparsed(_UNFINISHED)

    def check(self, problem: Mapping[str, Any]) -> Judgement:
        """Check golds by judging each against itself.

        Args:
            problem: ``golds``, ``row`` and ``prompt``.

        Returns:
            correct, unparsed_gold, or wrong if no gold accepts itself as an answer.
        """
        parsed, reason = self._parsed(problem)
        if not parsed:
            return Judgement("unparsed_gold", None, detail=reason)
        judgement = Judgement("wrong", 0.0)
        for gold in problem["golds"]:
            for completion in self.as_completions(gold):
                judgement = self._best(parsed, completion)
                if judgement.verdict == "correct":
                    return judgement
        answer = judgement.parsed_answer
        read_as = "read as nothing" if answer is None else f"read as '{answer}'"
        detail = f"the gold '{problem['golds'][0]}' does not accept itself as an answer"
        return Judgement("wrong", 0.0, detail=f"{detail}: {judgement.detail or read_as}")

    def _parsed(self, problem: Mapping[str, Any]) -> tuple[list[Any], str]:
        """Parse the golds; return those that could be parsed, and a reason in case of none."""
        question = Question.of(problem)
        golds, reason = [], f"no answer in '{problem['golds'][0]}'"
        for gold in problem["golds"]:
            try:
                parsed = self.parse(gold, question)
            except Exception as error:  # a parser may raise anything
                reason = f"the gold '{gold}': {type(error).__name__}: {error}"
                continue
            if parsed is not None:
                golds.append(parsed)
        return golds, reason

    def _best(self, golds: list[Any], completion: str) -> Judgement:
        """Return a correct judgement if any gold gives one, else that of the first gold."""
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
        except Exception as error:  # an exception in a verifier is a verdict, not a crash
            return failed(f"{type(error).__name__}: {error}")


def named_kind(name: str) -> "Kind | Programs":
    """Import a verifier by its name.

    Raises:
        LearnAlignError: if the package that it needs is not installed.
    """
    if name == "program":
        from learnalign.verifying.programs.verdicts import Programs

        return Programs()
    module = import_module(f"learnalign.verifying.judges.{name}")
    if name == "reasoning_gym":
        module.load()
    as_completions = _AS_COMPLETIONS.get(name, _boxed)
    parse = module.parse_gold if name in _NEED_QUESTION else lambda gold, _: module.parse_gold(gold)
    load_for = algebra.load_for if name == "number" else _nothing
    return Kind(parse, module.judge, as_completions, load_for)


def _boxed(gold: str) -> tuple[str, ...]:
    r"""Format a gold as a mathematical answer.

    Example:
        >>> _boxed("7"), _boxed(r"so $\boxed{7}$")
        (('\\boxed{7}', '7'), ('so $\\boxed{7}$',))
    """
    return (gold,) if "\\boxed" in gold else (f"\\boxed{{{gold}}}", gold)


def _tagged(gold: str) -> tuple[str, ...]:
    return f"<answer>{gold}</answer>", gold


#: Verifiers that need the prompt or the row to parse a gold.
_NEED_QUESTION = ("math", "choice", "reasoning_gym")
_AS_COMPLETIONS = {"text": _tagged, "code": _tagged, "reasoning_gym": lambda gold: (gold,)}
