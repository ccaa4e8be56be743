"""Commands of LearnAlign as a shell reads them."""

import shlex


def command_line(*words: object) -> str:
    """Join the words of a command; a path with spaces or quotes is quoted.

    Example:
        >>> command_line("score", "runs/x", "--budget", "K")
        'learnalign score runs/x --budget K'
        >>> print(command_line("score", "my runs/x"))
        learnalign score 'my runs/x'
    """
    return shlex.join(["learnalign", *map(str, words)])
