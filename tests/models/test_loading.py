"""Loading models: the real one's facts, and what is refused."""

import json

import pytest
import torch

from learnalign.config import ModelConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import context_length, load_model, load_tokenizer, resolve_device


def test_smollm2_is_whole(smollm2):
    config = ModelConfig(path=str(smollm2), device="cpu")
    tokenizer = load_tokenizer(config)
    assert tokenizer.padding_side == "left"
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert [tokenizer.decode([i]) for i in tokenizer.encode("1234")] == ["1", "2", "3", "4"]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert context_length(config) == 8192
    model = load_model(config, dtype=torch.float32)
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert tokenizer.decode(model(ids).logits[0, -1].argmax()).strip() == "Paris"
    assert not model.training


def test_folder_that_is_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(LearnAlignError, match=r"is not a model: it contains notes\.txt"):
        load_tokenizer(ModelConfig(path=str(tmp_path)))


def test_path_that_is_not_there(tmp_path):
    with pytest.raises(LearnAlignError, match="got the model"):
        load_tokenizer(ModelConfig(path=str(tmp_path / "nothing")))


def test_hub_name_without_a_hub():
    with pytest.raises(LearnAlignError, match="cannot load the tokenizer of 'nobody/nothing'"):
        load_tokenizer(ModelConfig(path="nobody/nothing"))


def test_pickled_weights_are_refused(tmp_path, smollm2):
    (tmp_path / "config.json").write_text((smollm2 / "config.json").read_text())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(LearnAlignError, match="cannot load the model"):
        load_model(ModelConfig(path=str(tmp_path)), dtype=torch.float32)


def test_code_of_a_model_does_not_run(tmp_path):
    code = {"model_type": "strange", "auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(code))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(LearnAlignError, match="trust_remote_code"):
        context_length(ModelConfig(path=str(tmp_path)))
    assert not (tmp_path / "ran").exists()


def test_unknown_device():
    with pytest.raises(LearnAlignError, match="got the device 'toaster'"):
        resolve_device("toaster")
