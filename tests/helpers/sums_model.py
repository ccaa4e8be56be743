"""A tiny model that has learned a little arithmetic: real rollouts, right and wrong, in no time."""

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<|im_end|>", "<unk>", "<|im_start|>")
WORDS = ("system", "user", "assistant", *"0123456789+-*/=()?.:\n ")

#: The chat format of SmolLM2, so that the same options suit both models.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def sums_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer of digits, signs and roles; every other word is one unknown token."""
    vocabulary = {name: i for i, name in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[A-Za-z]+|."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<|im_end|>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def sums_model(folder: Path, *, steps: int = 150, seed: int = 0) -> Path:
    """Train a Llama of 20,000 weights on sums of digits, and write it with its tokenizer.

    It ends an answer with a newline, and gets a sum of two digits right about one time in three.
    """
    torch.manual_seed(seed)
    tokenizer = sums_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        chats = [_chat() for _ in range(64)]
        batch = tokenizer([q + a for q, a in chats], return_tensors="pt", padding=True)
        answered = tokenizer([q for q, _ in chats], return_tensors="pt", padding=True)
        begin = answered["attention_mask"].sum(1, keepdim=True)
        place = torch.arange(batch["input_ids"].shape[1])
        answer = (place >= begin) & batch["attention_mask"].bool()
        loss = model(**batch, labels=batch["input_ids"].where(answer, -100)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _chat() -> tuple[str, str]:
    """Write the end of a chat about a sum or a difference of two digits, and its answer."""
    a, b, minus, words = torch.randint(0, 10, (4,)).tolist()
    sign, c = ("-", a - b) if minus % 2 else ("+", a + b)
    question = f"{a} {sign} {b} ="
    filler = "x " * (words // 2)
    return f"{filler}: {question}<|im_end|>\n<|im_start|>assistant\n{question}", f" {c}\n"
