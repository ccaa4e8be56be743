"""Verdicts in which we and others differ, looked at one by one: which side is right, and why."""

#: By case; a case that several verifiers judge has one reason.
EXPLAINED = {
    "MATH-72/7": "ours is right: the gold 10{,}000 and the answer 10000 are the same number",
}
