"""What the tests say about a program."""

from dataclasses import dataclass

#: Share of its time in which a program must have been computing for its time-out to be its own.
_COMPUTING = 0.7
_SHOWN = 2_000


@dataclass
class Outcome:
    """The tests that a program has passed so far, and the first one that it fails."""

    total: int
    passed: int = 0
    failed: int = 0
    failure: str | None = None
    """The first test that fails, and how."""
    timed_out: bool = False
    """Whether the time of the first failing test was over."""
    under_load: bool = False
    """Whether it may have been waiting for its turn: run it again, alone."""

    def add(self, failure: str | None, *, test: str = "") -> None:
        """Count a test.

        Args:
            failure: Why it fails; None if it passes.
            test: The test, for the reader.
        """
        if failure is None:
            self.passed += 1
            return
        if not self.failed:
            number = self.passed + 1
            words = [f"test {number} of {self.total}", test, failure]
            self.failure = ": ".join(filter(None, words))[:_SHOWN]
        self.failed += 1

    def add_timeout(self, timeout_s: float, computing: float, *, test: str = "") -> None:
        """Count a test that took too long.

        Args:
            timeout_s: Its time.
            computing: Share of it in which the program was computing.
            test: The test, for the reader.
        """
        if not self.failed:
            self.timed_out, self.under_load = True, computing < _COMPUTING
        self.add(f"no result within {timeout_s:g} s", test=test)

    def add_rest(self, failure: str) -> None:
        """Count all remaining tests as failed."""
        while self.passed + self.failed < self.total:
            self.add(failure)

    @property
    def text(self) -> str:
        """The result in words.

        Example:
            >>> outcome = Outcome(3, passed=1)
            >>> outcome.add("got 4, expected 5", test="f(2)")
            >>> outcome.text, outcome.failure
            ('fails test 2 of 3', 'test 2 of 3: f(2): got 4, expected 5')
        """
        if self.passed == self.total:
            return f"passes all {self.total} tests" if self.total > 1 else "passes the test"
        if self.passed + self.failed < self.total:
            return f"fails test {self.passed + 1} of {self.total}"
        return f"passes {self.passed} of {self.total} tests"
