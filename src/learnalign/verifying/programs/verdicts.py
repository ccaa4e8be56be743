"""The verifier ``program``: a completion's program is right if it passes the problem's tests."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from learnalign.problems.suites.registry import read_suite
from learnalign.problems.suites.suite import Suite, UnreadableTestsError
from learnalign.verifying.answers.thinking import after_thinking
from learnalign.verifying.judgement import CORRECT, WRONG, Judgement, failed, unparsed
from learnalign.verifying.programs.completions import program_of
from learnalign.verifying.programs.limits import Limits
from learnalign.verifying.programs.outcome import Outcome
from learnalign.verifying.programs.running import Runner
from learnalign.verifying.programs.sandbox import SandboxError

if TYPE_CHECKING:
    from learnalign.verifying.programs.open_instruct import OpenInstructRunner
    from learnalign.verifying.programs.remote import RemoteRunner

    AnyRunner = Runner | RemoteRunner | OpenInstructRunner

_UNFINISHED = "the thinking was not finished"


class Programs:
    """Judges completions as programs; runs in a worker, as `learnalign.verifying.kinds.Kind`."""

    def judge(self, request: Mapping[str, Any]) -> Iterator[Judgement | None]:
        """Judge completions.

        Args:
            request: ``golds`` (the tests), ``options`` (the section ``verifier``), ``prompt`` and
                ``completions``; ``alone`` if nothing else is running.

        Yields:
            The tests' judgement (None if they can be read), then each completion's.
        """
        try:
            suite = _suite(request)
        except UnreadableTestsError as error:
            yield Judgement("unparsed_gold", None, detail=f"the tests: {error}")
            return
        yield None
        prompt, unfinished = request.get("prompt") or "", request.get("unfinished_thinking", False)
        with _runner(suite, request) as runner:
            for completion in request["completions"]:
                text = after_thinking(completion, prompt=prompt, unfinished=unfinished)
                if text is None:
                    yield unparsed(_UNFINISHED)
                    continue
                program = program_of(text, suite.prefix, suite.entry_point)
                if program is None:
                    yield unparsed("no program")
                    continue
                yield _judgement(runner, program, request)

    def check(self, problem: Mapping[str, Any]) -> Judgement:
        """Run a reference solution on its own tests; without one, only read the tests.

        Args:
            problem: ``golds`` and ``options``.

        Returns:
            correct, unparsed_gold, or wrong if no reference solution passes.
        """
        try:
            suite = _suite(problem)
        except UnreadableTestsError as error:
            return Judgement("unparsed_gold", None, detail=f"the tests: {error}")
        judgements = []
        with _runner(suite, problem) as runner:
            for reference in suite.references:
                judgements.append(_judgement(runner, reference, {**problem, "alone": True}))
                if judgements[-1].verdict not in (WRONG, "timed_out"):
                    return judgements[-1]
        if not judgements:
            return Judgement(CORRECT, 1.0)
        judgement = judgements[0]
        detail = f"the reference solution {judgement.parsed_answer}: {judgement.detail}"
        return Judgement(judgement.verdict, judgement.reward, detail=detail)


def _judgement(runner: "AnyRunner", program: str, request: Mapping[str, Any]) -> Judgement:
    """Run a program; a failure of the sandbox is tried again once, and is never its fault."""
    for last in (False, True):
        try:
            outcome = runner.run(program)
            break
        except UnreadableTestsError as error:
            return Judgement("unparsed_gold", None, detail=f"the tests: {error}")
        except SandboxError as error:
            if last:
                return failed(str(error))
        except Exception as error:  # ours, and never the program's
            return failed(f"{type(error).__name__}: {error}")
    reward = _reward(outcome, request["options"])
    verdict = CORRECT if outcome.passed == outcome.total else WRONG
    if outcome.timed_out and not outcome.passed * reward:
        unknown = outcome.under_load and not request.get("alone", False)
        return Judgement(
            "timed_out", None if unknown else reward, outcome.text, outcome.failure, program
        )
    return Judgement(verdict, reward, outcome.text, outcome.failure, program)


def _runner(suite: Suite, request: Mapping[str, Any]) -> "AnyRunner":
    limits = Limits.of(request["options"])
    if limits.url is None:
        return Runner(suite, limits)
    if limits.sandbox == "open-instruct":
        from learnalign.verifying.programs.open_instruct import OpenInstructRunner

        return OpenInstructRunner(suite, limits)
    from learnalign.verifying.programs.remote import RemoteRunner

    return RemoteRunner(suite, limits)


def _reward(outcome: Outcome, options: Mapping[str, Any]) -> float:
    """Return 1 for a program that passes all tests, else 0 or the share that it passes."""
    if options["credit"] == "fraction":
        return outcome.passed / outcome.total
    return float(outcome.passed == outcome.total)


def _suite(request: Mapping[str, Any]) -> Suite:
    return read_suite(request["golds"][0]).limited(request["options"]["max_tests"])
