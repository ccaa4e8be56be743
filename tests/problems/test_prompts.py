"""The prompt is what the chat template, or the user's own, makes of a problem."""

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import ModelConfig, PromptConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_tokenizer
from learnalign.problems.prompts import Prompter, PromptError

MESSAGES = [{"role": "user", "content": "What is 6 + 4?"}]
ROW = json.dumps({"metadata": {"expression": "6 + 4"}})


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(ModelConfig(path=str(smollm2)))


def test_chat_template_with_system_instruction_and_prefix(tokenizer: Any) -> None:
    config = PromptConfig(
        system="Be short.",
        instruction="Digits only.",
        assistant_prefix="{{ row.metadata.expression }} =",
    )
    text, ids = Prompter(tokenizer, config)(MESSAGES, ROW)
    assert text == (
        "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nWhat is 6 + 4?\nDigits only."
        "<|im_end|>\n<|im_start|>assistant\n6 + 4 ="
    )
    assert tokenizer.decode(ids) == text
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert MESSAGES == [{"role": "user", "content": "What is 6 + 4?"}]


def test_what_was_asked_makes_the_prompt_under_the_chat_template(tokenizer: Any) -> None:
    config = PromptConfig(system="Be short.", instruction="Of {{ row.metadata.expression }}.")
    prompter = Prompter(tokenizer, config)
    asked = prompter.with_instructions([{"role": "system", "content": "Be long."}, *MESSAGES], ROW)
    assert asked == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "What is 6 + 4?\nOf 6 + 4."},
    ]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert text == prompter(MESSAGES, ROW)[0]


def test_own_template_as_text_and_as_file(tokenizer: Any, tmp_path: Path) -> None:
    text, _ = Prompter(tokenizer, PromptConfig(template="Q: {{ question }}\nA:"))(MESSAGES, ROW)
    assert text == "Q: What is 6 + 4?\nA:"
    path = tmp_path / "t.jinja"
    path.write_text("{{ messages[0].content }} {{ row.metadata.expression }} =")
    text, _ = Prompter(tokenizer, PromptConfig(template=str(path)))(MESSAGES, ROW)
    assert text == "What is 6 + 4? 6 + 4 ="


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "{{ question"}, "--template is not a valid Jinja template"),
        ({"template": "{{ quest }}"}, "--template cannot be rendered: 'quest' is undefined"),
        ({"template": "no/such/file"}, "got --template no/such/file"),
        ({"assistant_prefix": "{{ row.nothing }}"}, "--assistant-prefix cannot be rendered"),
        ({"template": "{{ ''.__class__.__mro__ }}"}, "--template cannot be rendered"),
    ],
)
def test_bad_templates(tokenizer: Any, options: dict[str, str], message: str) -> None:
    with pytest.raises(LearnAlignError, match=message):
        Prompter(tokenizer, PromptConfig(**options))(MESSAGES, ROW)


def test_model_without_chat_template(smollm2: Path) -> None:
    plain = load_tokenizer(ModelConfig(path=str(smollm2)))
    plain.chat_template = None
    with pytest.raises(LearnAlignError, match=r"(?s)no chat template.*--template"):
        Prompter(plain, PromptConfig())
    assert Prompter(plain, PromptConfig(template="{{ question }}"))(MESSAGES, ROW)[1]


def test_own_template_begins_with_the_models_first_token(smollm2: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    base = load_tokenizer(ModelConfig(path=str(smollm2)))
    base.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{base.bos_token} $A", special_tokens=[(base.bos_token, base.bos_token_id)]
    )
    for template in ("{{ question }}", "{{ bos_token }}{{ question }}"):
        text, ids = Prompter(base, PromptConfig(template=template))(MESSAGES, ROW)
        assert text == base.bos_token + "What is 6 + 4?"
        assert ids.count(base.bos_token_id) == 1


#: As Gemma's: no system role, and a user's turn first.
STRICT = """{% for m in messages %}{% if m.role not in ("user", "assistant") %}{{
raise_exception("System role not supported") }}{% endif %}<{{ m.role }}>{{ m.content }}</s>
{% endfor %}{% if add_generation_prompt %}<assistant>{% if enable_thinking is defined and not
enable_thinking %}<think></think>{% endif %}{% endif %}"""


@pytest.fixture
def strict(smollm2: Path) -> Any:
    tokenizer = load_tokenizer(ModelConfig(path=str(smollm2)))
    tokenizer.chat_template = STRICT
    return tokenizer


def test_variables_of_the_chat_template(strict: Any) -> None:
    plain = Prompter(strict, PromptConfig())(MESSAGES, ROW)[0]
    quick = PromptConfig(chat_template_kwargs={"enable_thinking": False})
    assert Prompter(strict, quick)(MESSAGES, ROW)[0] == plain + "<think></think>"
    long = PromptConfig(chat_template_kwargs={"enable_thinking": True})
    assert Prompter(strict, long)(MESSAGES, ROW)[0] == plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"chat_template_kwargs": {"enable_thinkin": False}},
            "(?s)not a variable.*enable_thinking",
        ),
        ({"chat_template_kwargs": {"tokenize": True}}, "tokenize, which is not a variable"),
        (
            {"chat_template_kwargs": {"enable_thinking": False}, "template": "{{ question }}"},
            "--template, which replaces",
        ),
    ],
)
def test_variables_that_would_change_nothing(
    strict: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(LearnAlignError, match=message):
        Prompter(strict, PromptConfig(**options))


def test_messages_that_the_template_refuses(strict: Any) -> None:
    asked = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    with pytest.raises(PromptError, match=r"\(system, user\): System role not supported"):
        Prompter(strict, PromptConfig())(asked, ROW)
    strict.chat_template = "{{ messages[0].content + messages[0].nothing }}"
    with pytest.raises(PromptError, match=r"\(user\)"):
        Prompter(strict, PromptConfig())(MESSAGES, ROW)
