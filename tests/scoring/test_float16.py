"""Every finite float16 there is, against numpy's own conversion."""

import numpy as np

from learnalign.scoring.float16 import widen


def test_every_finite_value_is_exact():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    out = np.empty(2**16, np.float32)
    widen(halves, out)
    finite = np.isfinite(halves)
    assert finite.sum() == 2**16 - 2**11
    expected = halves[finite].astype(np.float32)
    assert (out[finite].view(np.uint32) == expected.view(np.uint32)).all()
    assert (np.abs(out[~finite]) >= 2**16).all()
