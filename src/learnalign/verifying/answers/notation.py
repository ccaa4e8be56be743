r"""Normalizing notation: Unicode, the variants of LaTeX, and plain-text mathematics."""

import re
import unicodedata

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙₖₓ", "0123456789+-=()nkx", strict=True))
_SUPER, _SUB = (re.compile(f"[{''.join(signs)}]+") for signs in (_SUPERSCRIPTS, _SUBSCRIPTS))
_SIGNS = {
    **dict.fromkeys("−–‒﹣－‐‑", "-"),
    "×": r"\times ",
    "✕": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "÷": "/",
    "∕": "/",
    "⁄": "/",
    "∞": r"\infty ",
    "π": r"\pi ",
    "θ": r"\theta ",
    "α": r"\alpha ",
    "β": r"\beta ",
    "λ": r"\lambda ",
    "φ": r"\phi ",
    "≤": r"\le ",
    "⩽": r"\le ",
    "≦": r"\le ",
    "≥": r"\ge ",
    "⩾": r"\ge ",
    "≧": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "ø": r"\emptyset ",
    "±": r"\pm ",
    "∨": r"\lor ",
    "∧": r"\land ",
    "º": "°",
    "˚": "°",
    "ℝ": r"\mathbb{R}",
    "…": r"\ldots ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "，": ", ",
    "、": ", ",
    "。": ". ",
    "；": "; ",
    "：": ": ",
    "￥": "¥",
    "∶": ":",
    "“": '"',
    "”": '"',
    "’": "'",
    "‘": "'",
    "٫": ".",
    "٬": ",",
    "√": r"\sqrt ",
    "∛": r"\sqrt[3]",
}
#: LaTeX that changes only the appearance.
_APPEARANCE = re.compile(
    r"\\(?:left|right|[bB]ig{1,2}[lrm]?)(?=[^a-zA-Z])\s*\.?"
    r"|\\(?:displaystyle|textstyle|limits|nolimits|hfill|boldmath)(?![a-zA-Z])"
    r"|\\(?:bf|rm|it|sf)(?![a-zA-Z])"
    r"|\\(?:label|tag)\*?\{[^{}]*\}"
)
_SPELLINGS = [
    (re.compile(r"\\(?:d|t|c)frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:leqslant|leqq|leq)(?![a-zA-Z])|<=|=<"), r"\\le "),
    (re.compile(r"\\(?:geqslant|geqq|geq)(?![a-zA-Z])|>="), r"\\ge "),
    (re.compile(r"\\lt(?![a-zA-Z])|&lt;"), "<"),
    (re.compile(r"\\gt(?![a-zA-Z])|&gt;"), ">"),
    (re.compile(r"\\neq(?![a-zA-Z])|!="), r"\\ne "),
    (re.compile(r"\\(?:lbrace|lbrack)(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace|rbrack)(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\(?:lvert|rvert|vert|mid)(?![a-zA-Z])"), "|"),
    (re.compile(r"\\(?:varnothing|O)(?![a-zA-Z])"), r"\\emptyset "),
    (
        re.compile(r"\\infin(?![a-zA-Z])|(?<![a-zA-Z\\])(?:infinity|inf|oo)(?![a-zA-Z])"),
        r"\\infty ",
    ),
    (re.compile(r"(^|(?<=[(\[{,=<>]))\s*\+\s*\\infty"), r"\\infty"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"(?<=[\d)])\s+[xX]\s+(?=[\d(])"), r" \\times "),
    (re.compile(r"\\color\s*\{[^{}]*\}|\\textcolor\s*\{[^{}]*\}"), ""),
    (re.compile(r"\{\s*(\w+)\s*\\choose\s*(\w+)\s*\}"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<![A-Za-z\\])C_\s*\{?(\w+)\}?\s*\^\s*\{?(\w+)\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<![A-Za-z\\])C\((\d+)\s*,\s*(\d+)\)"), r"\\binom{\1}{\2}"),
    (re.compile(r"(\\(?:text|mathrm))\s+([A-Za-z])(?![A-Za-z])"), r"\1{\2}"),
    (re.compile(r"\{\}"), ""),
    (re.compile(r"^\s*(\w+)\s*\\choose\s*(\w+)\s*$"), r"\\binom{\1}{\2}"),
    (re.compile(r"_\{?(\d+)\}?C_\{?(\d+)\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\mp(?![a-zA-Z])"), r"\\pm"),
    (re.compile(r"\^\s*\{?\s*\\(?:circ|degree|textdegree)(?![a-zA-Z])\s*\}?"), "°"),
    (re.compile(r"\\(?:degree|textdegree)(?![a-zA-Z])\s*"), "°"),
    (re.compile(r"\\(?:text)?(?:euro)(?![a-zA-Z])"), "€"),
    (re.compile(r"\\(?:pounds|textsterling)(?![a-zA-Z])"), "£"),
    (re.compile(r"\\([%$#&_])"), r"\1"),
    (re.compile(r"(?<!\\)\\!\s*"), ""),
    (re.compile(r"(?<!\\)\\[,;:> ]|\\(?:quad|qquad|thinspace|enspace)(?![a-zA-Z])|~"), " "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"(?<![a-zA-Z\\])pi(?![a-zA-Z])"), r"\\pi "),
    (
        re.compile(
            r"(?<![a-zA-Z\\])(arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|"
            r"sqrt|gcd|lcm|max|min)(?=\s*[({\d_^])"
        ),
        r"\\\1",
    ),
    (re.compile(r"\^\s*(-?\d{2,}|-\d)"), r"^{\1}"),
    (re.compile(r"(?<!\d)_\s*(\d{2,})"), r"_{\1}"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d*\})"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"\\frac\s*(\{[^{}]*\})\s*(\d)"), r"\\frac\1{\2}"),
    (re.compile(r"\\frac\s+"), r"\\frac"),
    (re.compile(r"\\sqrt\s*(\[[^\]]*\])?\s*(\d+|[a-z](?![a-z]))"), r"\\sqrt\1{\2}"),
    (re.compile(r"\\sqrt(\[[^\]]*\])?\s+"), r"\\sqrt\1"),
]
#: Numbers and words that need no changes.
_SPELLED = re.compile(r"[-+]?[$\d\s.,%]*(?:[A-Za-z]{4,})?[.\s]*")
_DOUBLE = re.compile(r"\(\(([^()]*)\)\)")
_DOUBLED = re.compile(r"\\(?=\\[a-zA-Z])")
#: Commands for text and fonts, whose argument is the content.
WORDING = (
    r"\\(?:text(?:bf|it|rm|sf|tt|normal|up)?|math(?:rm|bf|it|sf|tt|normal)|mbox|hbox|textsc|emph"
    r"|operatorname|bm|boldsymbol|underline)\*?"
)
_WORDING = re.compile(WORDING + r"\s*\{([^{}]*)\}")
_GROUPED = re.compile(r"(?<=\d)\{,\}(?=\d{3}(?!\d))")
_DECIMAL_COMMA = re.compile(r"(?<=\d)\{,\}(?=\d)")


def one_alphabet(text: str) -> str:
    r"""Convert Unicode signs and digits of other scripts to LaTeX and ASCII.

    Example:
        >>> one_alphabet("１２"), one_alphabet("−x²"), one_alphabet("2½"), one_alphabet("٣")
        ('12', '-x^{2}', '2 \\frac{1}{2}', '3')
    """
    if text.isascii():
        return text
    text = _SUPER.sub(
        lambda run: "^{" + "".join(_SUPERSCRIPTS[sign] for sign in run.group(0)) + "}", text
    )
    text = _SUB.sub(
        lambda run: "_{" + "".join(_SUBSCRIPTS[sign] for sign in run.group(0)) + "}", text
    )
    parts: list[str] = []
    for sign in text:
        if sign.isascii():
            parts.append(sign)
        elif sign in _SIGNS:
            parts.append(_SIGNS[sign])
        else:
            parts.append(_plain_sign(sign, parts[-1][-1:] if parts else ""))
    return "".join(parts)


def _plain_sign(sign: str, before: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category == "Zs":
        return " "
    if category == "Cf":
        return ""
    compatible = unicodedata.normalize("NFKC", sign)
    if category == "No" and "⁄" in compatible:
        numerator, denominator = compatible.split("⁄")
        return (" " if before.isdigit() else "") + rf"\frac{{{numerator}}}{{{denominator}}}"
    return compatible if compatible.isascii() else sign


def spelled(text: str) -> str:
    r"""Normalize LaTeX and plain mathematics to one spelling; words stay marked as text.

    Example:
        >>> spelled(r"\dfrac{1}{2}"), spelled("4√2"), spelled(r"4\sqrt(2)"), spelled("2**10")
        ('\\frac{1}{2}', '4\\sqrt{2}', '4\\sqrt{2}', '2^{10}')
        >>> spelled(r"10{,}000"), spelled(r"90^{\circ}"), spelled(r"x \leqslant 3")
        ('10000', '90°', 'x \\le 3')
    """
    text = one_alphabet(text)
    if _SPELLED.fullmatch(text):
        return " ".join(text.split())
    if "\\begin" not in text:
        text = _DOUBLED.sub("", text)
    text = _GROUPED.sub("", text).replace("{:}", ":")
    text = _DECIMAL_COMMA.sub(".", text)
    text = _APPEARANCE.sub("", text)
    for pattern, plain in _SPELLINGS:
        text = pattern.sub(plain, text)
    text = _braced_arguments(text)
    text = with_single_brackets(text)
    return " ".join(text.split())


def with_single_brackets(text: str) -> str:
    """Remove redundant nested brackets.

    Example:
        >>> with_single_brackets("(((5)))+((x)(y))")
        '(5)+((x)(y))'
    """
    while "((" in text and (single := _DOUBLE.sub(r"(\1)", text)) != text:
        text = single
    return text


def without_wording(text: str) -> str:
    r"""Remove commands that mark words or a font, but keep their arguments.

    Example:
        >>> without_wording(r"\textbf{(C)}\ 24"), without_wording(r"2 \text{ and } 3")
        ('(C)\\ 24', '2  and  3')
    """
    for _ in range(8):
        text, changed = _WORDING.subn(r"\1", text)
        if not changed:
            break
    return text


def _braced_arguments(text: str) -> str:
    r"""Rewrite ``\sqrt(x+1)`` and ``^(x+1)`` with braces."""
    for opener in (r"\\sqrt(?:\[[^\]]*\])?\(", r"\^\("):
        while match := re.search(opener, text):
            start = match.end() - 1
            end = closing(text, start)
            if end is None:
                break
            text = f"{text[:start]}{{{text[start + 1 : end]}}}{text[end + 1 :]}"
    return text


def closing(text: str, start: int) -> int | None:
    r"""Return the position of the bracket that closes the one at ``start``; None without one.

    Any kind of bracket closes any other: half-open intervals mix them.

    Example:
        >>> closing("f(a(b)c)d", 1), closing(r"\{1, [2, 3)\}", 1), closing("(1", 0)
        (7, 12, None)
    """
    depth = 0
    for index in range(start, len(text)):
        if text[index] in "([{":
            depth += 1
        elif text[index] in ")]}":
            depth -= 1
            if depth == 0:
                return index
    return None
