"""Reading a row of a source: its prompt, its gold and multiple-choice options."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from shlex import quote
from typing import Any

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.agents import agent_column
from learnalign.problems.chats import Prompt, media_column, read_prompt, split_prefill
from learnalign.problems.choices import Choices, options_columns, options_in, with_options
from learnalign.problems.columns import GYM_PROMPT, GYM_REQUEST, INSPECTED_ROWS, Columns
from learnalign.problems.golds import Gold, GoldReader
from learnalign.problems.gym import is_gym_row
from learnalign.problems.nested import empty, names_in, value
from learnalign.problems.suites.registry import gold_of, holds_only_tests
from learnalign.problems.suites.suite import content


class Rows:
    """Reads the rows of one source; formats are detected from all rows.

    Args:
        rows: All rows.
        columns: The columns to read.
        config: Data options.
        location: Name of the source, for errors.

    Raises:
        LearnAlignError: if it is ambiguous which options the answers refer to.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Columns,
        config: DataConfig,
        location: str,
    ) -> None:
        self.columns, self.config, self.location = columns, config, location
        self.answers = [value(row, columns.answer) for row in rows]
        # A generator's answer is passed unchanged to its own scorer.
        form = "text" if rows and is_gym_row(rows[0]) else config.answer_form
        self.golds = GoldReader(self.answers, columns.answer, form)
        self.only_tests = form == "auto" and holds_only_tests(rows[:INSPECTED_ROWS], columns.answer)
        self.choices = None if form == "text" else self._choices(rows)

    def read(self, row: Mapping[str, Any], number: int, location: str) -> tuple[Prompt, Gold]:
        """Read one row.

        Args:
            row: The row.
            number: Its 0-based number in the source.
            location: Location of the row, for errors.
        """
        prompt = self._prompt(row, location)
        tests = gold_of(row, self.columns.answer) if self.config.answer_form == "auto" else None
        if tests is not None:
            return prompt, Gold((tests[0],), f"tests ({tests[1]})")
        if self.only_tests:
            answer = content(self.answers[number])
            if empty(answer):
                return prompt, Gold((), "no tests", "missing_answer")
            detail = f"{str(answer)[:40]!r} is in no known format of tests"
            return prompt, Gold((), "no tests", "unreadable_answer", detail)
        options = options_in(row, self.choices.columns) if self.choices is not None else None
        if self.choices is None or options is None:
            return prompt, self.golds.read(self.answers[number])
        if prompt.messages:
            index = len(split_prefill(prompt.messages)[0]) - 1
            question = prompt.messages[index]
            shown = question | {"content": with_options(question["content"], options)}
            messages = [*prompt.messages[:index], shown, *prompt.messages[index + 1 :]]
            prompt = replace(prompt, messages=messages)
        answer = self.answers[number]
        label = None if empty(answer) else self.choices.label(options, answer)
        if label is not None:
            return prompt, Gold((label,), self.choices.form)
        if empty(answer):
            return prompt, self.golds.read(answer)
        detail = f"{str(answer)[:40]!r} is none of the {len(options)} options"
        return prompt, Gold((), "not an option", "unreadable_answer", detail)

    def refuse_objects(self) -> None:
        """Raise the error that all answers are objects, with their fields.

        Raises:
            LearnAlignError: always.
        """
        first = next(answer for answer in self.answers if not empty(answer))
        fields = [f"{self.columns.answer}.{name}" for name in names_in(first)[:8]]
        raise LearnAlignError(
            f"the answers of {self.location} in '{self.columns.answer}' are objects "
            f"(the first has {', '.join(names_in(first)[:8])})",
            expected="text, a number, or a list of accepted texts",
            do=f"name a field with --answer-column {' or '.join(map(quote, fields))}; or use "
            "--answer-form text to pass objects unchanged to your own verifier",
        )

    def _prompt(self, row: Mapping[str, Any], location: str) -> Prompt:
        prompt = read_prompt(
            value(row, self.columns.prompt), last=self.config.last_assistant, location=location
        )
        media = media_column(row)
        if media is not None and not prompt.reason:
            return Prompt([], prompt.form, "image_prompt", f"the column '{media}' has media")
        request = row if self.columns.prompt != GYM_PROMPT else value(row, GYM_REQUEST)
        agent = agent_column(row) if self.config.tool_rows == "exclude" else None
        if not prompt.reason and agent is not None:
            detail = f"'{agent}' makes it a row for an agent; --tool-rows keep reads its prompt"
            return Prompt([], prompt.form, "tool_calls", detail)
        if request is not row and prompt.messages:
            system = value(request, "instructions")
            if isinstance(system, str) and system.strip():
                first = {"role": "system", "content": system}
                prompt = replace(prompt, messages=[first, *prompt.messages])
        return prompt

    def _choices(self, rows: Sequence[Mapping[str, Any]]) -> Choices | None:
        columns = options_columns(rows[:INSPECTED_ROWS], self.answers[:INSPECTED_ROWS])
        if not columns or {self.columns.prompt, self.columns.answer} & set(columns):
            return None
        return Choices(
            columns,
            rows,
            self.answers,
            answer_column=str(self.columns.answer),
            form=self.config.answer_form,
            location=self.location,
        )
