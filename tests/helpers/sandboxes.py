"""Whether this machine can run programs in a sandbox, and why a test must skip if not."""

import pytest

from learnalign.errors import LearnAlignError
from learnalign.verifying.programs import bubblewrap


def _reason() -> str:
    try:
        bubblewrap.require()
    except LearnAlignError as error:
        return str(error.got)
    return ""


REASON = _reason()
#: Mark of tests that need bubblewrap.
needs_sandbox = pytest.mark.skipif(bool(REASON), reason=REASON or "bubblewrap works")
