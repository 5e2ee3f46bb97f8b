"""The example service: how long its callers wait, by workers, beside a busy neighbour and while documents are added.

For example::

    python tests/benchmarks/service.py
    python tests/benchmarks/service.py --workers 1 2 4 --requests 1000

Every question is new to the model. See README.md for what the rows are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count, cycle, islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from serving import ask, service  # noqa: E402

from pixie_retrievers import PixieEncoder, SparseRetriever  # noqa: E402
from pixie_retrievers.cli import corpus  # noqa: E402

N_CALLERS = 50
N_ADDED = 400
NEIGHBOUR = "while True: pass"
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

Measured = tuple[str, list[float], float]
"""What was asked, the seconds of each request, and those of all."""


class Questions:
    """Questions that nobody has asked before."""

    def __init__(self) -> None:
        self._texts = zip(cycle(question.text for question in corpus.questions().values()), count())

    def __call__(self, n: int) -> list[str]:
        return [f"{text} {number}" for text, number in islice(self._texts, n)]


@contextmanager
def neighbour() -> Iterator[None]:
    """Another process that keeps one core busy."""
    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def writer(path: Path) -> Iterator[None]:
    """Another process that adds twenty documents five times a second."""
    with tempfile.TemporaryDirectory() as folder:
        stop = Path(folder, "stop")
        command = [sys.executable, "-c", ADDING, str(path), str(stop)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                yield
            finally:
                stop.touch()


def served(path: Path, questions: Questions, n_requests: int, n_workers: int) -> Iterator[Measured]:
    """What callers of the service wait."""
    with service(path, n_workers=n_workers) as address:

        def measured(name: str, asked: Sequence[str], n_callers: int) -> Measured:
            began = time.perf_counter()
            answers = ask(address, asked, n_callers=n_callers, k=5)
            return name, [seconds for seconds, _ in answers], time.perf_counter() - began

        ask(address, questions(20 * n_workers), n_callers=N_CALLERS, k=5)  # the first passes of a model are slow
        yield measured("one caller", questions(n_requests // 4), 1)
        yield measured(f"{N_CALLERS} callers", questions(n_requests), N_CALLERS)
        with writer(path):
            yield measured(f"{N_CALLERS} callers, beside a writer", questions(n_requests), N_CALLERS)


def beside_own_adding(questions: Questions) -> Measured:
    """What one caller waits while another thread of the same process adds documents."""
    texts = [passage.text for passage in corpus.passages()]
    with SparseRetriever.open(encoder=PixieEncoder.bundled()) as retriever:
        retriever.add_texts(texts[:20])
        for question in questions(20):
            retriever.search(question)
        added = [f"{text} {number}" for text, number in zip(cycle(texts), range(N_ADDED))]
        adding = threading.Thread(target=retriever.add_texts, args=(added,))
        seconds, began = [], time.perf_counter()
        adding.start()
        while adding.is_alive():
            asked = time.perf_counter()
            retriever.search(*questions(1))
            seconds.append(time.perf_counter() - asked)
        adding.join()
        return f"one caller, its process adds {N_ADDED}", seconds, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="of the service, one run each")
    parser.add_argument("--requests", type=int, default=400, help="of the callers together")
    arguments = parser.parse_args()
    table = Table("workers", "busy neighbour", "", "requests", "requests/s", "p50 ms", "p95 ms", "longest ms")
    questions = Questions()

    def add(n_workers: str, beside: str, found: Measured) -> None:
        name, seconds, took = found
        ms = np.array(seconds) * 1000
        waits = (f"{np.percentile(ms, share):.0f}" for share in (50, 95, 100))
        table.add_row(n_workers, beside, name, f"{len(ms)}", f"{len(ms) / took:.0f}", *waits)

    def run_of(n_workers: int) -> Callable[[Path], Iterator[Measured]]:
        return lambda path: served(path, questions, arguments.requests, n_workers)

    neighbours = ("", "yes")
    runs = [(str(n), beside, run_of(n)) for n in arguments.workers for beside in neighbours]
    runs += [("", beside, lambda _: iter([beside_own_adding(questions)])) for beside in neighbours]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder, "corpus.db")
        command = [sys.executable, "-m", "pixie_retrievers.cli", "demo", "-o", str(demo), "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for number, (n_workers, beside, run) in enumerate(track(runs, "asking", console=Console(stderr=True))):
            path = Path(folder, f"{number}.db")
            path.write_bytes(demo.read_bytes())
            with neighbour() if beside else nullcontext():
                for found in run(path):
                    add(n_workers, beside, found)
    output = Console(width=120)
    output.print(table)
    output.print(f"{os.cpu_count()} cores; load average {load:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
