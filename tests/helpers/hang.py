"""An answer that gets past the guards and that no computer finishes: for time limits and kills."""

HANG = r"\binom{999999999}{499999999}"
