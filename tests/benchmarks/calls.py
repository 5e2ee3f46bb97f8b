"""What a user waits for, by the length of the texts: the whole call through every public door. See README.md."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from callers import measure_callers
from calls_report import markdown, show
from doors import FETCHED, INDEX, Door, K, all_doors
from lengths import Length, Sized, sized
from machine import load_average, machine
from numpy.typing import NDArray
from rich.console import Console
from turns import one_round
from vectors import read_texts

import pixie_retrievers
from pixie_retrievers import PixieEncoder, PixieError, SparseRetriever, SparseVectors, SqliteIndex

_UPSERTED = 1 << 16  # documents a commit
_N_BATCH = 100
_IDS_FROM = 100_000  # documents
_WARM_UP_S = 2.0
_DEMO = Path(pixie_retrievers.__file__).parent / "cli" / "demo_corpus"

console = Console(width=None if sys.stdout.isatty() else 180)


@dataclass(frozen=True)
class Beside:
    """A door beside another one: medians over pairs of calls, which ran the same query in turn.

    Attributes:
        ratio, ratio_rounds: How many times as long this door took; over all rounds, and in each.
        over_ms, over_rounds_ms: How much longer.
    """

    ratio: float
    ratio_rounds: list[float]
    over_ms: float
    over_rounds_ms: list[float]


def main(
    sizes: Annotated[str, typer.Option(help="Numbers of documents")] = "10k,100k",
    lengths: Annotated[str, typer.Option(help="Lengths of texts: t for tokens, c for characters")] = (
        "115t,643t,1024t,100000c"
    ),
    data: Annotated[
        list[Path] | None, typer.Option(help="A BEIR folder to take passages and questions from; repeat for more")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the report goes")] = Path("benchmark-results"),
    cache: Annotated[Path, typer.Option(help="Where vectors and, with --keep-indexes, indexes are kept")] = Path(
        "benchmark-cache"
    ),
    encoded: Annotated[int, typer.Option(min=50, help="How many texts of a length are encoded; the rest grows")] = 200,
    queries: Annotated[int, typer.Option(min=1, max=_N_BATCH, help="How many queries the doors are asked")] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="How often each query is timed")] = 5,
    budget: Annotated[
        float, typer.Option(help="Seconds for doors that take turns, a round; slow ones answer less")
    ] = 3,
    callers_s: Annotated[float, typer.Option(help="Seconds a measurement of many callers, a round; 0 for none")] = 1,
    keep_indexes: Annotated[bool, typer.Option("--keep-indexes", help="Use what an earlier run built")] = False,
    build_only: Annotated[
        bool, typer.Option("--build-only", help="Build vectors and indexes, measure nothing")
    ] = False,
) -> None:
    """Measure all doors side by side; calls.json and calls.md go into the output folder."""
    output.mkdir(parents=True, exist_ok=True)
    folders = data or [_DEMO]
    passages = read_texts(folders, "corpus.jsonl" if data else "passages.jsonl")
    questions = read_texts(folders, "queries.jsonl" if data else "questions.jsonl")
    questions = [questions[i] for i in np.random.default_rng(0).permutation(len(questions))[:_N_BATCH]]
    encoder = PixieEncoder.bundled()
    vectors = encoder.encode_queries(questions)
    results_file = output / "calls.json"
    runs = json.loads(results_file.read_text(encoding="utf-8"))["runs"] if results_file.exists() else []
    settings = {"queries": queries, "rounds": rounds, "budget_s": budget, "callers_s": callers_s, "encoded": encoded}
    for length in map(Length.parse, lengths.split(",")):
        for n in map(_number, sizes.split(",")):
            console.print(f"[bold]{length}, {n:,} documents[/]", highlight=False)
            documents = sized(
                length,
                n,
                passages,
                vectors[:queries],
                encoder=encoder,
                n_encoded=encoded,
                depth=FETCHED,
                cache=cache,
            )
            folder = cache / "calls" / f"{length.amount}-{length.unit}-{n}-{documents.key}"
            _build(documents, encoder, folder, keep=keep_indexes)
            if not build_only:
                run = _measure(documents, folder, encoder, questions, vectors, settings)
                # A set that was measured before is replaced: a report may be built up in several calls.
                runs = [old for old in runs if (old["length"], old["n_documents"]) != (run["length"], n)] + [run]
                results = {"machine": machine(), "version": version("pixie-retrievers"), "runs": runs}
                results_file.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
                (output / "calls.md").write_text(markdown(results), encoding="utf-8")
                show({**results, "runs": [run]}, console)
            if not (keep_indexes or build_only):
                shutil.rmtree(folder)


def _build(documents: Sized, encoder: PixieEncoder, folder: Path, *, keep: bool) -> None:
    path = folder / "index.db"
    if keep and path.exists():
        try:
            with SqliteIndex(path, fingerprint=encoder.fingerprint, read_only=True) as index:
                if len(index) == len(documents):
                    return
        except PixieError as error:  # of an older format
            console.print(f"  what was kept does not open ({error}): built anew", highlight=False)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = time.perf_counter()
    with SqliteIndex(path, vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint) as index:
        for start in range(0, len(documents), _UPSERTED):
            part = documents.vectors[start : start + _UPSERTED]
            index.upsert([documents.document(start + i) for i in range(len(part))], part)
    console.print(f"  built in {time.perf_counter() - begun:.1f} s", highlight=False)


def _measure(
    documents: Sized,
    folder: Path,
    encoder: PixieEncoder,
    questions: Sequence[str],
    vectors: SparseVectors,
    settings: dict[str, Any],
) -> dict[str, Any]:
    n, path = len(documents), folder / "index.db"
    asked = [vectors[i] for i in range(settings["queries"])]
    ids = None
    if n >= _IDS_FROM and documents.whole is None:
        ids = [str(i) for i in np.random.default_rng(1).permutation(n)]
    load = [load_average()]
    with SparseRetriever.from_index(path, encoder=encoder) as retriever:
        for vector in asked:
            for hit in retriever.index.search(vector, FETCHED)[0]:
                if not documents.is_whole(int(hit.document.id)):
                    raise SystemExit(f"document {hit.document.id} was found, but its text was cut: not a fair search")
        doors = all_doors(retriever, asked, questions, ids)
        timed = _time(doors, len(asked), rounds=settings["rounds"], budget_s=settings["budget_s"])
    run = {
        "length": str(documents.length),
        "n_documents": n,
        "n_postings": len(documents.vectors.term_ids),
        "measured_at": time.strftime("%Y-%m-%d %H:%M"),
        "settings": settings,
        "doors": timed,
    }
    if settings["callers_s"] > 0:
        run["callers"] = asdict(measure_callers(path, vectors, max(K), settings["rounds"], settings["callers_s"]))
    return {**run, "load_average": [*load, load_average()]}


def _time(doors: Sequence[Door], n_queries: int, *, rounds: int, budget_s: float) -> list[dict[str, Any]]:
    """The figures of every door; one that is slow answers the first few of the queries alone."""
    by_name = {(door.name, door.k): door for door in doors}
    typical = {id(door): _warm_up(door, n_queries) for door in doors}
    groups = []
    for door in doors:
        group = [door, *(by_name[name, door.k] for name in door.beside)]
        limit = max(1, min(n_queries, int(budget_s / sum(typical[id(one)] for one in group))))
        groups.append((group, np.empty((rounds, len(group), limit))))
    rng = np.random.default_rng(0)
    for round_ in range(rounds):
        for group, seconds in groups:
            seconds[round_] = one_round([_timer(door) for door in group], seconds.shape[2], rng)
    return [_figures(group, seconds * 1e3) for group, seconds in groups]


def _figures(group: Sequence[Door], ms: NDArray[np.float64]) -> dict[str, Any]:
    """The figures of the first door of a group; ``ms`` is of shape (rounds, doors, queries)."""
    own = ms[:, 0]
    return {
        "door": group[0].name,
        "k": group[0].k,
        "median_ms": float(np.median(own)),
        "rounds_ms": np.median(own, axis=1).tolist(),
        "p95_ms": float(np.percentile(own, 95)),
        "n_queries": own.shape[1],
        "beside": {other.name: asdict(_beside(own, ms[:, place])) for place, other in enumerate(group[1:], 1)},
    }


def _beside(own: NDArray[np.float64], other: NDArray[np.float64]) -> Beside:
    ratios, differences = own / other, own - other
    return Beside(
        float(np.median(ratios)),
        np.median(ratios, axis=1).tolist(),
        float(np.median(differences)),
        np.median(differences, axis=1).tolist(),
    )


def _warm_up(door: Door, n_queries: int) -> float:
    """Ask all queries, or as many as fit; return the median seconds of one."""
    timer, seconds = _timer(door), []
    timer(0)  # what is loaded and compiled at the first call
    for query in range(n_queries):
        seconds.append(timer(query))
        if sum(seconds) > _WARM_UP_S and door.name != INDEX:
            break
    return float(np.median(seconds))


def _timer(door: Door) -> Callable[[int], float]:
    def timed(query: int) -> float:
        start = time.perf_counter()
        door.ask(query)
        return time.perf_counter() - start

    return timed


def _number(size: str) -> int:
    factors = {"k": 1_000, "m": 1_000_000}
    size = size.strip().lower()
    return int(float(size[:-1]) * factors[size[-1]]) if size[-1:] in factors else int(size)


if __name__ == "__main__":
    typer.run(main)
