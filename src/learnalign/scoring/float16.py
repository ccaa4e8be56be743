"""From float16 to float32 with numpy, several times as fast as ``astype``."""

import numpy as np
from numpy.typing import NDArray

_SHIFT = np.int32(13)  # places between the exponents' ends: 23 - 10 bits of fraction
_KEPT = np.int32(0x8FFFE000 - (1 << 32))  # sign, five bits of exponent, ten of fraction
_BIAS = np.float32(2.0**112)  # the exponents' biases: 127 - 15


def widen(halves: NDArray[np.float16], out: NDArray[np.float32]) -> None:
    """Write finite float16 values as float32; exact, subnormal ones included.

    numpy converts value by value; here each step is one that numpy does on whole vectors. A
    float16's bits, moved to where a float32 has its own, are the value divided by 2^112. Inf and
    NaN become numbers of 2^16 and more, which no finite float16 is.

    Args:
        halves: (n, d) or (d,) little-endian float16.
        out: float32 of the same shape, contiguous; a few hundred kB are quickest.

    Example:
        >>> out = np.empty(4, np.float32)
        >>> widen(np.array([1.0, -0.1, 6e-8, 65504.0], "<f2"), out)
        >>> out.tolist()
        [1.0, -0.0999755859375, 5.960464477539063e-08, 65504.0]
    """
    bits = out.view(np.int32)
    np.copyto(bits, halves.view("<i2"))  # the sign fills the upper half
    np.left_shift(bits, _SHIFT, out=bits)
    np.bitwise_and(bits, _KEPT, out=bits)
    np.multiply(out, _BIAS, out=out)
