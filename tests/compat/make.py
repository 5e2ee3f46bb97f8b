"""Writes the files of the current format that tests/compat keeps: run once when a format is released, never again.

python tests/compat/make.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import histories

from pixie_retrievers.index.sqlite.codec import FORMAT_VERSION
from pixie_retrievers.index.sqlite.manifest import WEIGHT_FORMATS

SEED, N_STEPS = 4, 20

if __name__ == "__main__":
    for weights in WEIGHT_FORMATS:
        path = Path(__file__).with_name(f"format-{FORMAT_VERSION}-{weights}.db")
        path.unlink(missing_ok=True)
        histories.build(path, seed=SEED, n_steps=N_STEPS, weights=weights)
        sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")
