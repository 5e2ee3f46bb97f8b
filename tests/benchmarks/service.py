"""The example service under two workers: how long fifty callers wait, alone and beside a writer. See README.md."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from serving import ask, service  # noqa: E402

from pixie_retrievers.cli import corpus  # noqa: E402

N_CALLERS = 50
ADDING = """
import sys, time
from pathlib import Path
from pixie_retrievers import PixieEncoder, SparseRetriever
from pixie_retrievers.cli import corpus
texts = [passage.text for passage in corpus.passages()][:20]
with SparseRetriever.open(sys.argv[1], encoder=PixieEncoder.bundled()) as retriever:
    n = 0
    while not Path(sys.argv[2]).exists():
        n += 1
        retriever.add_texts([f"{text} {n}" for text in texts])
        if n == 1:
            print("ready", flush=True)
        time.sleep(0.2)
"""


def main() -> None:
    questions = [question.text for question in corpus.questions().values()]
    table = Table("", "requests", "requests/s", "p50 ms", "p95 ms", "longest ms")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path, stop = Path(folder, "corpus.db"), Path(folder, "stop")
        demo = [sys.executable, "-m", "pixie_retrievers.cli", "demo", "-o", str(path), "--json"]
        subprocess.run(demo, check=True, stdout=subprocess.DEVNULL)
        address = stack.enter_context(service(path, n_workers=2))

        def measure(name: str, asked: list[str]) -> None:
            began = time.perf_counter()
            answers = ask(address, asked, n_callers=N_CALLERS, k=5)
            took = time.perf_counter() - began
            ms = np.array([seconds for seconds, _ in answers]) * 1000
            waits = (f"{np.percentile(ms, share):.0f}" for share in (50, 95, 100))
            table.add_row(name, f"{len(ms)}", f"{len(ms) / took:.0f}", *waits)

        measure("new questions", questions)
        ask(address, questions * 3, n_callers=N_CALLERS, k=5)  # each worker has its own memory of them
        measure("asked before", questions * 10)
        command = [sys.executable, "-c", ADDING, str(path), str(stop)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            measure("new questions, beside a writer", [f"{question}?" for question in questions])
            measure("asked before, beside a writer", questions * 10)
            stop.touch()
    Console().print(table)


if __name__ == "__main__":
    main()
