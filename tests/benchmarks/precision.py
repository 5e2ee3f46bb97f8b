"""What each precision costs: how much of the float32 top ten it keeps, and its NDCG, on folders in the BEIR layout.

For example::

    python tests/benchmarks/precision.py data/autorag-markers-ko data/korquad1-dev

It prints a table in Markdown. Without ``--model`` the bundled model is measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from pixie_retrievers import PixieEncoder
from pixie_retrievers.evaluation.collections import read_folder
from pixie_retrievers.evaluation.metrics import Run, measure
from pixie_retrievers.evaluation.systems import SparseSystem

PRECISIONS = "float32,bfloat16,float16,int8"
TOP = 10


def shared(run: Run, exact: Run) -> float:
    """The mean share of the exact top ten that a ranking has among its own."""
    shares = []
    for question, hits in exact.items():
        best = {id for id, _ in hits[:TOP]}
        if best:
            shares.append(len(best & {id for id, _ in run[question][:TOP]}) / len(best))
    return statistics.mean(shares)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders in the BEIR layout; their test questions")
    parser.add_argument("--model", help="a SPLADE model; left out: the bundled one")
    parser.add_argument("--precisions", default=PRECISIONS, help="the first is what the others are held against")
    options = parser.parse_args()
    lines = ["| Set | Precision | Top 10 kept | NDCG@10 | Avg. NDCG | Seconds |", "|---|---|---:|---:|---:|---:|"]
    for collection in [read_folder(folder) for folder in options.folders]:
        exact: Run | None = None
        for precision in options.precisions.split(","):
            made = {"device": "cpu", "precision": precision}
            encoder = PixieEncoder(options.model, **made) if options.model else PixieEncoder.bundled(**made)
            began = time.perf_counter()
            run = SparseSystem(encoder, name=precision).rank(collection, lambda _: None)
            seconds = time.perf_counter() - began
            exact = run if exact is None else exact
            found = measure(run, collection.relevant)
            cells = [f"{shared(run, exact):.4f}", f"{found.ndcg[10]:.4f}", f"{found.average:.4f}", f"{seconds:.0f}"]
            lines.append(f"| {collection.task} | {precision} | {' | '.join(cells)} |")
            sys.stderr.write(f"{lines[-1]}\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
