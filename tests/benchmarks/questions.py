"""From a question to explained hits: by a table, by the model, and by others; and what a cold process takes for it.

For example::

    python tests/benchmarks/questions.py --data eval/set-1 --documents 100000 --small /path/to/small/bin/python

Whoever is compared is asked the same questions in turn, each question once, so that no cache answers.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from encoder import make_model
from lengths import Length, sized
from machine import load_average, machine
from rich.console import Console
from rich.table import Table
from vectors import read_texts

import pixie_retrievers
from pixie_retrievers import PixieEncoder, SparseRetriever, SqliteIndex

_DEMO = Path(pixie_retrievers.__file__).parent / "cli" / "demo_corpus"
_UPSERTED = 1 << 16
_K = 10
_PYTHON = """
import sys
from pixie_retrievers import SparseRetriever
with SparseRetriever.from_index(sys.argv[1], read_only=True, queries=sys.argv[3] or None) as retriever:
    for result in retriever.search(sys.argv[2], 10):
        result.explanation.contributions
print(len(retriever.encoder.fingerprint))
"""
console = Console(width=None if sys.stdout.isatty() else 160)


def main(
    data: Annotated[list[Path] | None, typer.Option(help="A BEIR folder to take passages and questions from")] = None,
    documents: Annotated[int, typer.Option(help="How many documents of 115 tokens the index holds")] = 100_000,
    rounds: Annotated[int, typer.Option(help="How many questions are asked")] = 60,
    starts: Annotated[int, typer.Option(help="How often each cold process is started")] = 5,
    small: Annotated[Path | None, typer.Option(help="A Python with the extra inference-free and without torch")] = None,
    cache: Annotated[Path, typer.Option(help="Where vectors are kept")] = Path("benchmark-cache"),
    output: Annotated[Path | None, typer.Option(help="Write the figures as JSON")] = None,
) -> None:
    folders = data or [_DEMO]
    passages = read_texts(folders, "corpus.jsonl" if data else "passages.jsonl")
    questions = read_texts(folders, "queries.jsonl" if data else "questions.jsonl")
    found: dict[str, Any] = {"machine": machine(), "load_average": [load_average()], "documents": documents}
    with TemporaryDirectory() as folder:
        path = Path(folder, "corpus.db")
        texts = _build(path, passages, questions, documents, cache)
        found["alone_ms"] = _alone(path, questions)
        found["warm_ms"] = _warm(path, texts, questions, rounds, Path(folder))
        found["cold"] = _cold(path, questions[0], starts, small)
    found["load_average"].append(load_average())
    _show(found)
    if output is not None:
        output.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")


def _build(path: Path, passages: list[str], questions: list[str], n: int, cache: Path) -> list[str]:
    encoder = PixieEncoder.bundled()
    asked = encoder.encode_queries(questions[:100])
    cache.mkdir(parents=True, exist_ok=True)
    made = sized(Length(115, "tokens"), n, passages, asked, encoder=encoder, n_encoded=200, depth=_K, cache=cache)
    with SqliteIndex(path, vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint) as index:
        for start in range(0, n, _UPSERTED):
            part = made.vectors[start : start + _UPSERTED]
            index.upsert([made.document(start + i) for i in range(len(part))], part)
        console.print(SparseRetriever(encoder, index).derive_query_table(max_texts=2000))
    return [made.document(i).text for i in range(n)]


def _alone(path: Path, questions: list[str]) -> dict[str, Any]:
    """The table by itself, one question after the other: beside models, whose weights fill the caches, it begins cold.

    The first time a token is asked for, its postings are read from the file; the second time they are there.
    """
    took: list[list[float]] = [[], []]
    with SparseRetriever.from_index(path, read_only=True, queries="inference-free") as fast:
        for turn, values in enumerate(took):
            for number, question in enumerate(questions[:200]):
                asked = f"{question} {2 * number + turn}"
                began = time.perf_counter()
                _explained(fast, asked)
                values.append(1e3 * (time.perf_counter() - began))
    return {"table alone, words asked the first time": _spread(took[0][20:]), "table alone": _spread(took[1])}


def _warm(path: Path, texts: list[str], questions: list[str], rounds: int, folder: Path) -> dict[str, Any]:
    """Milliseconds from a question to ten hits with their tokens, of each way, in turn."""
    number = itertools.count()
    large = make_model(folder)
    with (
        SparseRetriever.from_index(path, read_only=True, queries="inference-free") as fast,
        SparseRetriever.from_index(path, read_only=True) as full,
    ):
        ways: dict[str, Callable[[str], Any]] = {
            "table": lambda question: _explained(fast, question),
            "table, question to vector": lambda question: fast.encoder.encode_queries([question]),
            "bundled model": lambda question: _explained(full, question),
        }
        for precision in ("bfloat16", "int8", "float32"):
            try:
                encoder = PixieEncoder(large, precision=precision)
            except pixie_retrievers.PixieError as error:
                console.print(f"149M, {precision}: {error}", highlight=False)
                continue
            ways[f"149M model, {precision}: question to vector"] = lambda question, e=encoder: e.encode_queries(
                [question]
            )
        ways |= _others(texts)
        took: dict[str, list[float]] = {name: [] for name in ways}
        rng = np.random.default_rng(0)
        names = list(ways)
        for turn in range(rounds + 5):
            question = questions[turn % len(questions)]
            for place in rng.permutation(len(names)).tolist():
                asked = f"{question} {next(number)}"
                began = time.perf_counter()
                ways[names[place]](asked)
                if turn >= 5:  # the first warm up
                    took[names[place]].append(1e3 * (time.perf_counter() - began))
    return {name: _spread(values) for name, values in took.items()}


def _encoding(encoder: PixieEncoder) -> Callable[[str], Any]:
    return lambda question: encoder.encode_queries([question])


def _explained(retriever: SparseRetriever, question: str) -> None:
    for result in retriever.search(question, _K):
        assert result.explanation is not None
        _ = result.explanation.contributions


def _others(texts: list[str]) -> dict[str, Callable[[str], Any]]:
    """bm25s over the same texts, and what a program waits for that encodes with sentence-transformers itself."""
    from sentence_transformers import SparseEncoder

    from pixie_retrievers.encoder.source import BUNDLED_FOLDER

    plain = SparseEncoder(str(BUNDLED_FOLDER), device="cpu")
    ways: dict[str, Callable[[str], Any]] = {
        "sentence-transformers, bundled model: question to vector": lambda question: plain.encode_query(
            question, show_progress_bar=False
        )
    }
    try:
        import bm25s
    except ImportError:
        return ways
    bm25 = bm25s.BM25(backend="numba")
    bm25.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
    ways["bm25s (numba), words: hits without reasons"] = lambda question: bm25.retrieve(
        bm25s.tokenize([question], stopwords=None, show_progress=False, return_ids=False), k=_K, show_progress=False
    )
    return ways


def _cold(path: Path, question: str, starts: int, small: Path | None) -> dict[str, Any]:
    """Seconds and resident memory of new processes, from their start to their end; the first start is not counted."""
    pythons = {"": sys.executable} | ({} if small is None else {", nothing but the extra installed": str(small)})
    commands: dict[str, list[str]] = {}
    for name, python in pythons.items():
        commands[f"Python, table{name}"] = [python, "-c", _PYTHON, str(path), question, "inference-free"]
        command = [python, "-m", "pixie_retrievers.cli", "search"]
        commands[f"pixie search --fast{name}"] = [*command, "--fast", str(path), question]
        if python == sys.executable:
            commands["pixie search"] = [*command, str(path), question]
            commands["import torch alone"] = [python, "-c", "import torch"]
    took: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for turn in range(starts + 1):
        for name, arguments in commands.items():
            one = _one_start(arguments)
            if turn:
                took[name].append(one)
    return {
        name: {
            what: _spread([values[place] for values in runs])
            for place, what in enumerate(("seconds", "processor_seconds", "resident_mb"))
        }
        for name, runs in took.items()
    }


_LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
said = process.stdout.read().decode(errors="replace")
_, status, used = os.wait4(process.pid, 0)
seconds = time.perf_counter() - began
print(json.dumps([status, said, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def _one_start(arguments: list[str]) -> tuple[float, float, float]:
    """Started by a small process: what a new one takes at most counts what it was forked from, too."""
    environment = os.environ | {"PYTHONPATH": str(Path(pixie_retrievers.__file__).parents[1])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    launcher = [sys.executable, "-c", _LAUNCHER, *arguments]
    done = subprocess.run(launcher, capture_output=True, text=True, check=True, env=environment)
    status, said, seconds, processor_seconds, resident = json.loads(done.stdout)
    if status:
        raise SystemExit(f"{arguments[:4]} failed: {said}")
    return seconds, processor_seconds, resident / (1024**2 if sys.platform == "darwin" else 1024)


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def _show(found: dict[str, Any]) -> None:
    table = Table(
        "from a question, warm", "ms", title=f"{found['documents']:,} documents, load {found['load_average']}"
    )
    for name, value in [*found["alone_ms"].items(), *found["warm_ms"].items()]:
        table.add_row(name, _figure(value, 2))
    console.print(table)
    table = Table("a cold process", "seconds", "processor seconds", "resident MB")
    for name, value in found["cold"].items():
        table.add_row(name, *(_figure(value[key], digits) for key, digits in zip(value, (2, 2, 0), strict=True)))
    console.print(table)


def _figure(value: dict[str, float], digits: int) -> str:
    median, low, high = (f"{value[name]:.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} ({low}-{high})"


if __name__ == "__main__":
    typer.run(main)
