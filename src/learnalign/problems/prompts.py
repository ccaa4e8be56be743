"""Building the exact text and token ids that the model sees."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from learnalign.config import PromptConfig
from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.chats import Messages, apart, question_of

#: Arguments of ``apply_chat_template`` that are no variables of the template.
_DECIDED = {
    *("conversation", "messages", "chat_template", "tokenize", "add_generation_prompt"),
    *("continue_final_message", "return_tensors", "return_dict", "return_assistant_tokens_mask"),
    *("tokenizer_kwargs", "padding", "truncation", "max_length"),
}


class PromptError(LearnAlignError):
    """The model's chat template does not take one problem's messages."""


class Prompter:
    """Builds prompts for one model.

    Args:
        tokenizer: The model's tokenizer.
        config: Template, system prompt, instruction, beginning of the assistant's turn, variables
            of the chat template.

    Raises:
        LearnAlignError: if the model has no chat template and none is given, a template of the user
            is broken, or the chat template has no variable of a given name.
    """

    def __init__(self, tokenizer: Any, config: PromptConfig) -> None:
        self.tokenizer, self.config = tokenizer, config
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
        self.template = _compiled(environment, _text_or_file(config.template), "--template")
        self.instruction = _compiled(environment, config.instruction, "--instruction")
        self.prefix = _compiled(environment, config.assistant_prefix, "--assistant-prefix")
        if self.template is None and not tokenizer.chat_template:
            raise LearnAlignError(
                "the model has no chat template",
                expected="a chat model, or your own template",
                do="give --template '{{ question }}\\nAnswer:' (or a file with one)",
            )
        _check_variables(tokenizer, config)

    def __call__(self, messages: Messages, row: str) -> tuple[str, list[int]]:
        """Build the prompt of one problem.

        Args:
            messages: The problem's chat messages; the last one is the question, or the beginning
                of the assistant's turn after it.
            row: The user's row as JSON text; the templates see it as ``row``.

        Returns:
            The text, and its token ids (special tokens only where the text holds them).

        Raises:
            PromptError: if the chat template does not take the messages.
            LearnAlignError: if a template of the user cannot be filled in.
        """
        messages, begun = apart(self.asked(messages, row))
        variables = {"row": json.loads(row), "question": messages[-1]["content"]}
        if self.template is None:
            text = self._chat(messages)
        else:
            variables |= {"messages": messages, "system": self.config.system or ""}
            variables |= {"bos_token": self.tokenizer.bos_token or ""}
            variables |= {"eos_token": self.tokenizer.eos_token or ""}
            text = self._with_bos(_render(self.template, "--template", variables))
        if self.prefix is not None:
            text += _render(self.prefix, "--assistant-prefix", variables)
        text += begun
        return text, self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def asked(self, messages: Messages, row: str) -> Messages:
        """Put the system prompt and the instruction into a problem's messages.

        Args:
            messages: The problem's chat messages; the last one is the question.
            row: The user's row as JSON text; the instruction sees it as ``row``.
        """
        variables = {"row": json.loads(row), "question": question_of(messages)}
        messages = [dict(message) for message in messages]
        if self.config.system is not None:
            messages = [m for m in messages if m["role"] != "system"]
            messages.insert(0, {"role": "system", "content": self.config.system})
        if self.instruction is not None:
            asked = apart(messages)[0][-1]
            asked["content"] += "\n" + _render(self.instruction, "--instruction", variables)
        return messages

    def _chat(self, messages: Messages) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=True,
                **self.config.chat_template_kwargs,
            )
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise PromptError(
                f"the model's chat template refuses the messages ({roles}): {error}",
                expected="roles that the template knows, in their order",
                do="give --template, or leave --system out",
            ) from error
        return text

    def _with_bos(self, text: str) -> str:
        """Begin with the token that this model's texts begin with, if the template left it out."""
        bos = self.tokenizer.bos_token
        first = self.tokenizer("")["input_ids"][:1]
        if bos and first == [self.tokenizer.bos_token_id] and not text.startswith(bos):
            return str(bos) + text
        return text


def _check_variables(tokenizer: Any, config: PromptConfig) -> None:
    """Reject variables that have no effect, or that this module sets."""
    for name in config.chat_template_kwargs:
        if config.template is not None:
            raise LearnAlignError(
                f"got prompt.chat_template_kwargs.{name} and --template, which replaces "
                "the chat template",
                expected="one of them",
                do="write the value into the template",
            )
        read = _names(tokenizer.chat_template) - _DECIDED
        if name not in read:
            near = nearest(name, read)
            hint = f": {near}" if near.startswith("the nearest") else ""
            raise LearnAlignError(
                f"got prompt.chat_template_kwargs.{name}, which is not a variable of the model's "
                "chat template",
                expected=f"a variable that the template reads{hint}",
                do="correct the name, or leave it out",
            )


def _names(template: str | dict[str, str]) -> set[str]:
    """Find the names in a chat template's code; a model may have several templates.

    Example:
        >>> sorted(_names("so {{ a.b }} {% if c == 'd e' %}{{ f }}{% endif %} g"))
        ['a', 'c', 'endif', 'f', 'if']
    """
    texts = [template] if isinstance(template, str) else template.values()
    parts = (re.findall(r"\{[%{].*?[%}]\}", text, re.DOTALL) for text in texts)
    code = " ".join(itertools.chain.from_iterable(parts))
    return set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", re.sub(r"'[^']*'|\"[^\"]*\"", "", code)))


def _text_or_file(template: str | None) -> str | None:
    if template is not None and "\n" not in template and "{" not in template:
        path = Path(template)
        if not path.is_file():
            raise LearnAlignError(
                f"got --template {template}",
                expected="a Jinja template with {{ question }} or {{ messages }}, or a file",
                do="check the path",
            )
        return path.read_text(encoding="utf-8")
    return template


def _compiled(
    environment: ImmutableSandboxedEnvironment, text: str | None, flag: str
) -> Template | None:
    if text is None:
        return None
    try:
        return environment.from_string(text)
    except TemplateError as error:
        raise LearnAlignError(
            f"{flag} is not a valid Jinja template: {error}", do="fix the template"
        ) from error


def _render(template: Template, flag: str, variables: dict[str, Any]) -> str:
    try:
        return template.render(variables)
    except (TemplateError, TypeError, ValueError) as error:
        raise LearnAlignError(
            f"{flag} cannot be rendered: {error}",
            expected="variables such as question, system, messages, row.COLUMN",
            do="correct the template",
        ) from error
