"""The Python lines that the guide shows for a trainer."""

from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "curricula-in-trainers.md"


def shown_lines(heading: str) -> str:
    """Return the first Python block below a heading."""
    section = GUIDE.read_text().split(f"\n## {heading}\n")[1]
    return section.split("```python\n")[1].split("```")[0]
