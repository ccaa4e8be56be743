"""Measure everything that is to be known about a GPU, in nine minutes; `cuda_run` has the options.

    python benchmarks/cuda.py --device cuda
    python benchmarks/cuda.py --device cpu --tiny       # a trial run of all of it, about a minute

NVIDIA's own Python package is called ``cuda`` too, and torch imports it. A script of this folder
finds this file first: imported, it gives that package's folders as its own.
"""

import sys
from pathlib import Path

if __name__ == "cuda":
    __path__ = [str(Path(place) / "cuda") for place in sys.path if (Path(place) / "cuda").is_dir()]
elif __name__ == "__main__":
    import cuda_run

    cuda_run.main()
