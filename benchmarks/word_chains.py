"""Word problems that are a chain: a quantity is raised, lowered, multiplied or divided in turn.

Each story has the wording of an event in the question, and the beginning of its solution step.
"""

import operator
import random
from dataclasses import dataclass

NAMES = (
    "Ann",
    "Ben",
    "Cara",
    "Dan",
    "Eva",
    "Finn",
    "Grace",
    "Hugo",
    "Iris",
    "Jack",
    "Lucy",
    "Sam",
)
THINGS = ("stickers", "marbles", "shells", "cards", "stamps", "coins")
_FLOWERS = ("roses", "tulips", "lilies", "daisies")
_BREADS = ("rolls", "muffins", "bagels", "pretzels")

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}


@dataclass(frozen=True)
class Problem:
    """One word problem with its calculation and worked lines."""

    question: str
    lines: list[str]
    expression: str
    """Fully bracketed, of the question's numbers."""
    answer: int


@dataclass(frozen=True)
class Story:
    """A chain: how it begins, what may happen (by sign), and what is asked.

    Texts are formatted with ``name``, ``other``, ``thing`` and the step's number ``n``.
    """

    things: tuple[str, ...]
    opening: str
    """In the question."""
    begun: str
    """In the solution."""
    events: dict[str, tuple[tuple[str, str], ...]]
    """Sign: (what the question says, how the worked line begins)."""
    ending: str


STORIES = {
    "collection": Story(
        THINGS,
        "{name} has {n} {thing}.",
        "At the start {name} has {n} {thing}.",
        {
            "+": (
                ("A friend gives {name} {n} more.", "With {n} more from the friend"),
                ("{name} finds {n} {thing} in a drawer.", "With the {n} from the drawer"),
            ),
            "-": (
                ("{name} gives {n} of them to {other}.", "After giving {n} to {other}"),
                ("{name} loses {n} on the way home.", "After losing {n}"),
            ),
            "*": (
                (
                    "{name} keeps collecting until there are {n} times as many.",
                    "With {n} times as many",
                ),
            ),
            "/": (
                (
                    "{name} sorts them into {n} equal piles and keeps only one pile.",
                    "One of {n} equal piles is kept",
                ),
            ),
        },
        "How many {thing} does {name} have in the end?",
    ),
    "garden": Story(
        _FLOWERS,
        "There are {n} {thing} in the garden of {name}.",
        "The garden begins with {n} {thing}.",
        {
            "+": (
                ("{name} plants {n} more.", "After {n} more are planted"),
                ("{other} brings {n} {thing} as a gift.", "With the gift of {n}"),
            ),
            "-": (
                ("Snails eat {n} of them.", "After the snails eat {n}"),
                ("{name} cuts {n} of them for a vase.", "After {n} are cut"),
            ),
            "*": (("By summer there are {n} times as many.", "By summer, {n} times as many"),),
            "/": (
                (
                    "{name} splits them equally over {n} beds and looks at one bed.",
                    "In one of {n} equal beds",
                ),
            ),
        },
        "How many {thing} does {name} see there?",
    ),
    "train": Story(
        ("passengers",),
        "A train starts with {n} passengers.",
        "The train starts with {n} passengers.",
        {
            "+": (
                ("At the next stop {n} people get on.", "After {n} people get on"),
                ("Then a group of {n} joins them.", "With the group of {n}"),
            ),
            "-": (
                ("At the next stop {n} people get off.", "After {n} people get off"),
                ("Then {n} people leave for the bus.", "Without the {n} who take the bus"),
            ),
            "*": (
                ("In the city the number of people becomes {n} times as large.", "{n} times that"),
            ),
            "/": (
                (
                    "Then everyone spreads equally over {n} cars, and {name} counts one car.",
                    "In one of {n} equal cars",
                ),
            ),
        },
        "How many passengers are counted at the end?",
    ),
    "savings": Story(
        ("dollars",),
        "{name} has {n} dollars in a box.",
        "The box begins with {n} dollars.",
        {
            "+": (
                ("{name} earns {n} dollars by washing cars.", "With the {n} dollars earned"),
                ("{other} pays back {n} dollars.", "With {n} dollars paid back"),
            ),
            "-": (
                ("{name} spends {n} dollars on a gift.", "After spending {n} dollars"),
                ("{name} lends {n} dollars to {other}.", "After lending {n} dollars"),
            ),
            "*": (
                (
                    "An uncle adds money until there is {n} times as much.",
                    "With {n} times as much",
                ),
            ),
            "/": (
                (
                    "{name} divides the money into {n} equal shares and keeps one share.",
                    "One of {n} equal shares is kept",
                ),
            ),
        },
        "How many dollars does {name} have at the end?",
    ),
    "bakery": Story(
        _BREADS,
        "A bakery makes {n} {thing} in the morning.",
        "In the morning there are {n} {thing}.",
        {
            "+": (
                ("At noon {name} bakes {n} more.", "With {n} more from noon"),
                ("A second oven adds {n} {thing}.", "With the {n} of the second oven"),
            ),
            "-": (
                ("{name} sells {n} of them.", "After {n} are sold"),
                ("{n} of them are burnt and thrown away.", "Without the {n} burnt ones"),
            ),
            "*": (
                (
                    "For a party the baker makes {n} times as many instead.",
                    "For the party, {n} times as many",
                ),
            ),
            "/": (
                (
                    "They are packed equally for {n} shops, and one shop gets its part.",
                    "One of {n} shops gets",
                ),
            ),
        },
        "How many {thing} are there at the end?",
    ),
}


def chain(story: Story, rng: random.Random, num_steps: int, largest: int) -> Problem:
    """Tell a story: each event changes the quantity so that it stays whole and above zero."""
    name, other = rng.sample(NAMES, 2)
    words = {"name": name, "other": other, "thing": rng.choice(story.things)}
    quantity = rng.randint(3, largest)
    asked = [story.opening.format(n=quantity, **words)]
    lines = [story.begun.format(n=quantity, **words)]
    expression, told = str(quantity), set[str]()
    for _ in range(num_steps):
        options = [
            (sign, n, event)
            for sign, n in _moves(rng, quantity, largest)
            for event in story.events[sign]
            if event[0] not in told
        ]
        sign, n, (said, worked) = rng.choice(options)
        told.add(said)
        new = OPERATIONS[sign](quantity, n)
        asked.append(said.format(n=n, **words))
        lines.append(
            f"{worked.format(n=n, **words)}, there are "
            f"{quantity} {sign} {n} = {new} {words['thing']}."
        )
        expression = f"({expression} {sign} {n})"
        quantity = new
    asked.append(story.ending.format(**words))
    return Problem(" ".join(asked), lines, expression, quantity)


def _moves(rng: random.Random, quantity: int, largest: int) -> list[tuple[str, int]]:
    """Return one number a sign by which the quantity can be changed."""
    moves = [("+", rng.randint(2, largest))]
    if quantity > 3:
        moves.append(("-", rng.randint(2, min(largest, quantity - 1))))
    if quantity <= 3 * largest:
        moves.append(("*", rng.randint(2, 5)))
    divisors = [n for n in range(2, 10) if quantity % n == 0 and quantity > n]
    if divisors:
        moves.append(("/", rng.choice(divisors)))
    return moves
