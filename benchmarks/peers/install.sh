#!/bin/sh
# Create .venv-peers, a separate environment for the peers of the speed benchmark.
set -eu
cd "$(dirname "$0")/../.."
"${PYTHON:-python3}" -m venv .venv-peers
pip=.venv-peers/bin/pip
# First, so that no later command installs a wheel with CUDA.
$pip install -q torch==2.13.0
$pip install -q "transformers>=5.0" accelerate datasets jinja2 "jaxtyping>=0.3.3" ml_dtypes natsort \
  "numpy>=2" scipy "peft>=0.17" petname pyarrow pyyaml simple-parsing tqdm "safetensors>=0.5"
# Without dependencies: torchvision, torchaudio and bitsandbytes are CUDA builds and not needed here
# (bergson), pretty_midi is for music (dattri), fast_jl is a CUDA kernel (traker).
$pip install -q --no-deps torchopt optree bergson==2.5.1 dattri==0.3.0 dattri-llm==0.1.0 \
  traker==0.3.2
.venv-peers/bin/python - <<'PYTHON'
import importlib
for name in ("torch", "transformers", "peft", "bergson", "dattri", "dattri_llm", "trak"):
    try:
        importlib.import_module(name)
        print("imports", name)
    except Exception as error:  # report it: the scripts need all of these
        print("FAILS  ", name, type(error).__name__, error)
PYTHON
