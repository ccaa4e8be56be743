"""The kinds of `word_problems`: chains, and stories that combine two or three quantities."""

import random
from collections.abc import Callable
from functools import partial

from word_chains import NAMES, STORIES, THINGS, Problem, chain

_GOODS = ("pens", "mugs", "books", "plates", "lamps", "towels", "baskets", "candles")


def shopping(rng: random.Random, num_steps: int, largest: int) -> Problem:
    """Tell of things bought at two prices, and of the change."""
    name = rng.choice(NAMES)
    one, two = rng.sample(_GOODS, 2)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    p, q = rng.randint(2, largest), rng.randint(2, largest)
    first = f"{name} buys {a} {one} for {p} dollars each"
    lines = [
        f"First we find what {name} pays for the {one}.",
        f"The {a} {one} cost {a} * {p} = {a * p} dollars together.",
    ]
    if num_steps == 2:
        question = f"{first} and a bag for {q} dollars. How many dollars does {name} pay in all?"
        lines.append(f"With the bag for {q} dollars, {name} pays {a * p} + {q} = {a * p + q}.")
        return Problem(question, lines, f"(({a} * {p}) + {q})", a * p + q)
    total = a * p + b * q
    question = f"{first} and {b} {two} for {q} dollars each."
    lines.append(f"The {b} {two} cost {b} * {q} = {b * q} dollars together.")
    lines.append(f"In all {name} pays {a * p} + {b * q} = {total} dollars.")
    expression = f"(({a} * {p}) + ({b} * {q}))"
    if num_steps == 3:
        return Problem(
            f"{question} How many dollars does {name} pay in all?", lines, expression, total
        )
    paid = total + rng.randint(1, largest)
    lines.append(f"Out of {paid} dollars, {paid} - {total} = {paid - total} dollars are left.")
    question = f"{question} {name} had {paid} dollars. How many dollars are left?"
    return Problem(question, lines, f"({paid} - {expression})", paid - total)


def comparison(rng: random.Random, num_steps: int, largest: int) -> Problem:
    """Compare three people, one of them with more than another, and ask for all together."""
    one, two, three = rng.sample(NAMES, 3)
    thing = rng.choice(THINGS)
    a, b, d = (rng.randint(2, largest) for _ in range(3))
    k = rng.randint(2, 5)
    if num_steps == 4:
        return _in_a_row((one, two, three), thing, a, k, d)
    both = a + b
    total = both * k
    question = (
        f"{one} has {a} {thing} and {two} has {b}. "
        f"{three} has {k} times as many {thing} as both of them together."
    )
    lines = [
        f"First we add what {one} and {two} have.",
        f"Together {one} and {two} have {a} + {b} = {both} {thing}.",
        f"{three} has {k} times as many: {both} * {k} = {total} {thing}.",
    ]
    expression = f"(({a} + {b}) * {k})"
    if num_steps == 3:
        d = min(d, total - 1)
        question += f" {three} then gives away {d} of them."
        lines.append(f"After giving away {d}, {three} has {total} - {d} = {total - d} {thing}.")
        expression, total = f"({expression} - {d})", total - d
    question += f" How many {thing} does {three} have?"
    return Problem(question, lines, expression, total)


def _in_a_row(names: tuple[str, str, str], thing: str, a: int, k: int, d: int) -> Problem:
    """Tell of three people, each with more than the one before."""
    one, two, three = names
    b = a * k
    c = b + d
    question = (
        f"{one} has {a} {thing}. {two} has {k} times as many {thing} as {one}. "
        f"{three} has {d} more {thing} than {two}. How many {thing} do all three have together?"
    )
    lines = [
        f"First we find what {two} and {three} have.",
        f"{two} has {k} times as many as {one}: {a} * {k} = {b} {thing}.",
        f"{three} has {d} more than {two}: {b} + {d} = {c} {thing}.",
        f"{one} and {two} have {a} + {b} = {a + b} {thing}.",
        f"All three have {a + b} + {c} = {a + b + c} {thing}.",
    ]
    expression = f"(({a} + ({a} * {k})) + (({a} * {k}) + {d}))"
    return Problem(question, lines, expression, a + b + c)


def wages(rng: random.Random, num_steps: int, largest: int) -> Problem:
    """Tell of hours, days and pay, of an expense and of what was there before."""
    name = rng.choice(NAMES)
    hours, days = rng.randint(2, 9), rng.randint(2, 7)
    pay = rng.randint(2, min(12, largest))
    worked, earned = hours * days, hours * days * pay
    question = (
        f"{name} works {hours} hours a day for {days} days and gets {pay} dollars for each hour."
    )
    lines = [
        f"First we count the hours that {name} works on all {days} days.",
        f"In {days} days {name} works {hours} * {days} = {worked} hours.",
        f"For these hours {name} gets {worked} * {pay} = {earned} dollars.",
    ]
    expression, money = f"(({hours} * {days}) * {pay})", earned
    if num_steps >= 3:
        spent = rng.randint(2, min(largest, earned - 1))
        question += f" The trips to work cost {spent} dollars."
        lines.append(f"Without the trips there are {money} - {spent} = {money - spent} dollars.")
        expression, money = f"({expression} - {spent})", money - spent
    if num_steps >= 4:
        had = rng.randint(2, largest)
        question += f" {name} also had {had} dollars before."
        lines.append(f"With the {had} from before there are {money} + {had} = {money + had}.")
        expression, money = f"({expression} + {had})", money + had
    question += f" How many dollars does {name} have now?"
    return Problem(question, lines, expression, money)


KINDS: dict[str, Callable[[random.Random, int, int], Problem]] = {
    **{name: partial(chain, story) for name, story in STORIES.items()},
    "shopping": shopping,
    "comparison": comparison,
    "wages": wages,
}
