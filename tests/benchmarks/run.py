"""Builds one set of vectors, runs every engine on it in one process, and reports. See README.md."""

from __future__ import annotations

import gc
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from changes import measure_changes
from cold import measure_cold
from corpus import Corpus
from filtering import measure_filtering
from machine import load_average, machine
from measure import answers, batch_throughput, latencies, prepared, throughput, warm_up
from peers import REFERENCE, Peer, all_peers
from profiling import profile
from report import markdown, plot, show
from rich.console import Console
from truth import Truth
from vectors import N_ADDED, real, synthetic

_CALLERS = (1, 8)
_BATCHES = ("pixie", "pixie 2 threads")
_BUILT = "built.json"

console = Console(width=None if sys.stdout.isatty() else 180)


def main(
    sizes: Annotated[str, typer.Option(help="Numbers of documents: 10k, 100k, 1m, 4m, ...")] = "10k,100k,1m",
    vectors: Annotated[str, typer.Option(help="synthetic, real, or both")] = "synthetic,real",
    peers: Annotated[
        str, typer.Option(help="Engines by name or its beginning, separated by commas; all when empty")
    ] = "",
    data: Annotated[list[Path] | None, typer.Option(help="A BEIR folder for real vectors; repeat for more")] = None,
    output: Annotated[Path, typer.Option(help="Where the report goes")] = Path("benchmark-results"),
    cache: Annotated[Path, typer.Option(help="Where vectors and, with --keep-indexes, indexes are kept")] = Path(
        "benchmark-cache"
    ),
    queries: Annotated[int, typer.Option(min=1, help="How many queries")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="How often each query is timed")] = 5,
    k: Annotated[int, typer.Option(min=1, help="How many documents a query asks for")] = 10,
    budget: Annotated[float, typer.Option(help="Seconds an engine may take in a round; slower ones answer less")] = 6.0,
    milvus_python: Annotated[
        Path | None, typer.Option(envvar="MILVUS_PYTHON", help="A Python that has milvus-lite 2.5.1")
    ] = None,
    keep_indexes: Annotated[
        bool, typer.Option("--keep-indexes", help="Use what an earlier run built; its build times are reported")
    ] = False,
    only: Annotated[
        str, typer.Option(help="latency, storage (cold process and memory), changes, callers, filters: all by default")
    ] = "latency,callers,storage,changes,filters",
) -> None:
    """Measure engines side by side; results.json, results.md and latency.png go into the output folder."""
    output.mkdir(parents=True, exist_ok=True)
    wanted = [name.strip() for name in peers.split(",") if name.strip()]
    settings = {"k": k, "queries": queries, "rounds": rounds, "budget_s": budget}
    results_file = output / "results.json"
    results: dict[str, Any] = {"machine": machine(), "versions": {}, "what": {}, "runs": []}
    if results_file.exists():
        earlier = json.loads(results_file.read_text(encoding="utf-8"))
        results["runs"], results["versions"], results["what"] = (
            earlier["runs"],
            earlier["versions"],
            earlier["what"],
        )
    for kind in vectors.split(","):
        for size in sizes.split(","):
            n = _number(size)
            console.print(f"[bold]{kind}, {n:,} documents[/]: vectors")
            if kind == "synthetic":
                corpus = synthetic(n, queries, cache)
            elif kind == "real":
                corpus = real(n, queries, data or [], cache)
            else:
                raise typer.BadParameter(f"{kind!r} is neither synthetic nor real", param_hint="--vectors")
            engines = [
                peer
                for peer in all_peers(milvus_python)
                if not wanted or any(peer.name == name or peer.name.startswith(name + " ") for name in wanted)
            ]
            run = _measure(corpus, engines, cache, settings, only.split(","), milvus_python, keep_indexes=keep_indexes)
            for peer in engines:
                if peer.name in run["peers"]:
                    results["what"][peer.name] = peer.what
                    results["versions"][peer.package or peer.name] = peer.version()
            # A set that was measured before is replaced: a report may be built up in several calls.
            results["runs"] = [
                earlier
                for earlier in results["runs"]
                if (earlier["vectors"], earlier["n_documents"]) != (run["vectors"], run["n_documents"])
            ]
            results["runs"].append(run)
            results["runs"].sort(key=lambda run: (run["vectors"], run["n_documents"]))
            show(run, console)
            results_file.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    (output / "results.md").write_text(markdown(results), encoding="utf-8")
    try:
        plot(results, output / "latency.png")
    except ImportError:
        console.print("no plot: pip install matplotlib")


def _measure(
    corpus: Corpus,
    engines: list[Peer],
    cache: Path,
    settings: dict[str, Any],
    only: list[str],
    milvus_python: Path | None,
    *,
    keep_indexes: bool,
) -> dict[str, Any]:
    k = settings["k"]
    rows: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    home = cache / "indexes" / f"{corpus.kind}-{len(corpus)}"
    if not keep_indexes:
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    if any(peer.uses_columns for peer in engines):
        corpus.columns()
    present: list[Peer] = []
    for peer in engines:
        reason = peer.missing()
        if reason is None and peer.max_documents is not None and len(corpus) > peer.max_documents:
            reason = f"more than {peer.max_documents:,} documents: {peer.too_large}"
        if reason is not None:
            left_out[peer.name] = reason
            continue
        console.print(f"  building {peer.name}", highlight=False)
        try:
            rows[peer.name] = _built(peer, corpus, home / peer.files, keep=keep_indexes)
        except Exception as error:  # noqa: BLE001  # whatever an engine raises, the others are measured
            left_out[peer.name] = f"its build failed: {type(error).__name__}: {error}"
            peer.close()
            continue
        present.append(peer)

    load = [load_average()] * 2
    profiles: dict[str, Any] = {}
    if "latency" in only or "callers" in only:
        console.print("  brute force")
        truth = Truth(corpus, settings["queries"] if len(corpus) <= 200_000 else 50, k)
        forms = {peer.name: prepared(peer, corpus) for peer in present}
        typical: dict[str, float] = {}
        for peer in present:
            console.print(f"  warming up {peer.name}", highlight=False)
            typical[peer.name] = warm_up(peer, forms[peer.name], k)
            if peer.comparable:
                n = max(3, min(truth.n_queries, int(2 * settings["budget_s"] / max(typical[peer.name], 1e-9))))
                agreement = truth.compare(answers(peer, forms[peer.name], k, n))
                rows[peer.name]["agreement"] = asdict(agreement)
                if peer.exact and (agreement.recall < 1 or agreement.wrong_scores > 0):
                    console.print(f"  [bold red]{peer.name} is not exact: {agreement}[/]")
        del truth
        gc.collect()
        if "latency" in only:
            console.print("  rounds")
            load[0] = load_average()
            found = latencies(
                present,
                forms,
                typical,
                k=k,
                rounds=settings["rounds"],
                budget_s=settings["budget_s"],
                reference=REFERENCE,
            )
            load[1] = load_average()
            for name, latency in found.items():
                rows[name]["latency"] = asdict(latency)
            for peer in present:
                if peer.name == "pixie":
                    profiles[peer.name] = profile(peer, forms[peer.name], k)
        if "callers" in only:
            for peer in present:
                if peer.concurrent:
                    console.print(f"  callers of {peer.name}", highlight=False)
                    rows[peer.name]["queries_per_second"] = {
                        str(n): throughput(peer, forms[peer.name], k, n) for n in _CALLERS
                    }
                if peer.name in _BATCHES:
                    rows[peer.name]["batch_queries_per_second"] = batch_throughput(peer, corpus.queries, k)
    for peer in present:
        peer.close()
    gc.collect()
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        query_file = Path(scratch) / "queries.npz"
        _save_queries(corpus, query_file)
        for peer in present:
            folder = home / peer.files
            try:
                if "storage" in only and peer.saves and peer.cold:
                    console.print(f"  cold process of {peer.name}", highlight=False)
                    for figure, forget in (("cold", False), ("cold_forgotten", True)):
                        cold = measure_cold(
                            peer.name, folder, query_file, k, milvus_python=milvus_python, forget=forget
                        )
                        rows[peer.name][figure] = asdict(cold)
                if "changes" in only and peer.changes:
                    console.print(f"  changing {peer.name}", highlight=False)
                    changes = measure_changes(peer, corpus, folder, Path(scratch) / "copy", k)
                    rows[peer.name]["changes"] = asdict(changes)
                if "filters" in only and peer.name == "pixie":
                    console.print(f"  filters of {peer.name}", highlight=False)
                    rows[peer.name]["filtering"] = asdict(measure_filtering(len(corpus), Path(scratch) / "filters"))
            except Exception as error:  # noqa: BLE001  # as above
                left_out[f"{peer.name}, in part"] = f"{type(error).__name__}: {error}"
    if not keep_indexes:
        shutil.rmtree(home, ignore_errors=True)
    return {
        "vectors": corpus.kind,
        "description": corpus.description,
        "n_documents": len(corpus),
        "n_postings": corpus.n_postings,
        "postings_per_query": corpus.postings_per_query(),
        "terms_per_query": len(corpus.queries.term_ids) / len(corpus.queries),
        "measured_at": time.strftime("%Y-%m-%d %H:%M"),
        "settings": settings,
        "load_average": load,
        "peers": rows,
        "left_out": left_out,
        "profile": profiles,
    }


def _built(peer: Peer, corpus: Corpus, folder: Path, *, keep: bool) -> dict[str, Any]:
    """Build an engine, or open what is there when it was built before; return its first figures."""
    note = folder / _BUILT
    if note.exists():
        figures: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        if peer.saves and (keep or figures.get("name") != peer.name):
            try:
                peer.open(folder)
            except Exception as error:  # noqa: BLE001  # kept files may be of an older format
                console.print(f"  what was kept of {peer.name} does not open ({error}): built anew", highlight=False)
                peer.close()
            else:
                return {key: value for key, value in figures.items() if key != "name"}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.perf_counter()
    peer.build(corpus, folder)
    seconds = time.perf_counter() - start + (corpus.columns_seconds if peer.uses_columns else 0)
    figures = {"build_s": seconds}
    if peer.saves:
        start = time.perf_counter()
        peer.save(folder)
        figures["save_s"] = time.perf_counter() - start
        figures["disk"] = peer.bytes_on_disk(folder)
        note.write_text(json.dumps({"name": peer.name, **figures}), encoding="utf-8")
    return figures


def _save_queries(corpus: Corpus, path: Path) -> None:
    queries = corpus.queries
    np.savez(
        path,
        indptr=queries.indptr,
        term_ids=queries.term_ids,
        weights=queries.weights,
        vocabulary_size=np.int64(queries.vocabulary_size),
    )


def _number(size: str) -> int:
    factors = {"k": 1_000, "m": 1_000_000}
    size = size.strip().lower()
    n = int(float(size[:-1]) * factors[size[-1]]) if size[-1:] in factors else int(size)
    if n < N_ADDED:
        raise typer.BadParameter(f"{size} is too small: {N_ADDED:,} documents at least", param_hint="--sizes")
    return n


if __name__ == "__main__":
    typer.run(main)
