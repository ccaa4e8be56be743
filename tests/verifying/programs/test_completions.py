"""The program in a completion, as people's models write it."""

import time

import pytest

from learnalign.verifying.programs.completions import program_of

F = "def f(x):\n    return x\n"
PROMPT = "import math\n\ndef f(x):\n    '''Return x.'''\n"


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        (f"Sure!\n```python\n{F}```\nIt works.", F),
        (f"```python\nassert 1\n```\nand\n```python\n{F}```", F),
        (f"```python\n{F}```\nTry it:\n```python\nprint(f(1))\n```", F),
        (f"```py\n{F}```\n```bash\npip install x\n```", F),
        (f"```\n{F}```", F),
        (f"~~~python\n{F}~~~", F),
        (f"````python\n{F}````", F),
        (f"```python\n{F}", F),  # cut off
        (F, F),
        (f"Here is the function:\n\n{F}", F),
        (f"<answer>{F}</answer>", F),
        (f"1. Do this:\n   ```python\n{F}   ```", F),
        ("```python\ndef f(x) return\n```", "def f(x) return\n"),
        ("I cannot do that.", None),
        ("42", None),
        ("", None),
    ],
)
def test_without_a_prefix(completion: str, program: str | None) -> None:
    assert program_of(completion, entry_point="f") == program


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("    return x\n", PROMPT + "    return x\n"),
        ("    return x\n\nprint(f(1))\nif __name", PROMPT + "    return x\n\nprint(f(1))\n"),
        ("```python\n    return x\n```", PROMPT + "    return x\n"),
        (f"```python\n{F}```", F),
        (PROMPT + "    return x\n", PROMPT + "    return x\n"),
        ("Sorry, I do not know.", None),
    ],
)
def test_with_the_beginning_of_the_program_in_the_prompt(
    completion: str, program: str | None
) -> None:
    assert program_of(completion, PROMPT, "f") == program


def test_what_the_prompt_gives_need_not_be_repeated() -> None:
    """HumanEval's prompts import `List`, LeetCode's define `ListNode`: models just use them."""
    prompt = "from typing import *\n\nclass Node:\n    pass\n\ndef f(x: List[int]):\n"
    block = "def f(x: List[int]):\n    return Node()\n"
    given = "from typing import *\nclass Node:\n    pass\n"
    assert program_of(f"```python\n{block}```", prompt, "f") == given + block
    assert program_of(f"```python\n{given}{block}```", prompt, "f") == given + block
    imports = "from typing import *\n\ndef f(x: List[int]):\n"
    assert program_of(block, imports, "f") == "from typing import *\n" + block


def test_a_long_completion_is_cut_in_a_few_attempts() -> None:
    """Each attempt parses everything before it: dropping line after line took a minute."""
    body = "    x = [1, (2, 3)]\n" * 1_500 + "    return x\n"
    rest = "    y = 3\n" * 1_500
    begin = time.process_time()
    assert program_of(body + "    def (:\n" + rest, PROMPT, "f") == PROMPT + body
    assert program_of(body + "    z = (1,\n" + rest, PROMPT, "f") == PROMPT + body
    assert program_of(body + '    """never closed\n' + rest, PROMPT, "f") == PROMPT + body
    assert time.process_time() - begin < 5.0
