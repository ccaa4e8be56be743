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
from learnalign.problems.chats import Messages, question_of, split_prefill

#: Arguments of ``apply_chat_template`` that are not template variables.
_DECIDED = {
    *("conversation", "messages", "chat_template", "tokenize", "add_generation_prompt"),
    *("continue_final_message", "return_tensors", "return_dict", "return_assistant_tokens_mask"),
    *("tokenizer_kwargs", "padding", "truncation", "max_length"),
}


class PromptError(LearnAlignError):
    """The model's chat template rejects the messages of a problem."""


class Prompter:
    """Builds prompts for one model.

    Args:
        tokenizer: The model's tokenizer.
        config: Template, system prompt, instruction, start of the assistant's turn, variables of
            the chat template.

    Raises:
        LearnAlignError: if neither the model nor the user has a template, if the user's template is
            invalid, or if the chat template does not have a given variable.
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
                do="use --template '{{ question }}\\nAnswer:' (or a file with a template)",
            )
        _check_variables(tokenizer, config)

    def __call__(self, messages: Messages, row: str) -> tuple[str, list[int]]:
        """Build the prompt of one problem.

        Args:
            messages: The problem's chat messages; the last one is the question, or the start of the
                assistant's turn after it.
            row: The user's row as JSON text; available as ``row`` in the templates.

        Returns:
            The text and its token ids (special tokens only where the text contains them).

        Raises:
            PromptError: if the chat template rejects the messages.
            LearnAlignError: if a template of the user cannot be rendered.
        """
        messages, prefill = split_prefill(self.with_instructions(messages, row))
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
        text += prefill
        return text, self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def with_instructions(self, messages: Messages, row: str) -> Messages:
        """Add the system prompt and the instruction to a problem's messages.

        Args:
            messages: The problem's chat messages; the last one is the question.
            row: The user's row as JSON text; available as ``row`` in the instruction.
        """
        variables = {"row": json.loads(row), "question": question_of(messages)}
        messages = [dict(message) for message in messages]
        if self.config.system is not None:
            messages = [m for m in messages if m["role"] != "system"]
            messages.insert(0, {"role": "system", "content": self.config.system})
        if self.instruction is not None:
            question = split_prefill(messages)[0][-1]
            question["content"] += "\n" + _render(self.instruction, "--instruction", variables)
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
                f"the model's chat template rejects the messages ({roles}): {error}",
                expected="roles and an order that the template supports",
                do="use --template, or omit --system",
            ) from error
        return text

    def _with_bos(self, text: str) -> str:
        """Prepend the model's beginning-of-sequence token, if the template omitted it."""
        bos = self.tokenizer.bos_token
        first = self.tokenizer("")["input_ids"][:1]
        if bos and first == [self.tokenizer.bos_token_id] and not text.startswith(bos):
            return str(bos) + text
        return text


def _check_variables(tokenizer: Any, config: PromptConfig) -> None:
    """Reject variables that have no effect or that are set here."""
    for name in config.chat_template_kwargs:
        if config.template is not None:
            raise LearnAlignError(
                f"got prompt.chat_template_kwargs.{name} and --template, which replaces "
                "the chat template",
                expected="one of them",
                do="write the value into the template",
            )
        variables = _names(tokenizer.chat_template) - _DECIDED
        if name not in variables:
            near = nearest(name, variables)
            hint = f": {near}" if near.startswith("the nearest") else ""
            raise LearnAlignError(
                f"got prompt.chat_template_kwargs.{name}, which is not a variable of the model's "
                "chat template",
                expected=f"a variable that the template uses{hint}",
                do="correct the name, or remove it",
            )


def _names(template: str | dict[str, str]) -> set[str]:
    """Find the names used in a chat template's code; a model may have several templates.

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
