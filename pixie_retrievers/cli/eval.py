"""`pixie eval`: the table of a model card, for any model and any data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixie_retrievers.cli.options import Device, Encoding
from pixie_retrievers.cli.terminal import notes, output, print_json, progress_bar
from pixie_retrievers.errors import InvalidParameterError

if TYPE_CHECKING:
    from pixie_retrievers.evaluation.collections import Collection
    from pixie_retrievers.evaluation.systems import System

__all__ = ["evaluate"]


def evaluate(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="Folders in the BEIR layout.", show_default=False),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            help="A task of PIXIE's card by name, fetched from the hub; 'card' for all six. May be repeated.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME|FOLDER|bundled", help="A SPLADE model. May be repeated.", show_default=False
        ),
    ] = None,
    bm25: Annotated[str, typer.Option(help="BM25 rows, of word, default and bigram; '' for none.")] = "default,bigram",
    dense: Annotated[
        list[str] | None,
        typer.Option(help="A dense model of sentence-transformers. May be repeated.", show_default=False),
    ] = None,
    hybrid: Annotated[
        bool, typer.Option("--hybrid", help="Add a row for each pair of systems of two kinds, fused by ranks.")
    ] = False,
    split: Annotated[
        str | None, typer.Option(help="Which judgements of a folder. Left out: test.", show_default=False)
    ] = None,
    encoding: Encoding = None,
    device: Device = None,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16 or int8.")] = "auto",
    target: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write table, JSON and chart there.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON document.")] = False,
) -> None:
    """Measure models, BM25 and their fusions: NDCG at 1, 3, 5 and 10, as the model card does, and recall at 100."""
    from pixie_retrievers.evaluation.collections import CARD_TASKS, card_task, read_folder
    from pixie_retrievers.evaluation.metrics import Run, measure
    from pixie_retrievers.evaluation.report import Result, markdown, to_json, write_report
    from pixie_retrievers.evaluation.systems import fused

    console = notes()
    names = [name for task in tasks or [] for name in (CARD_TASKS if task == "card" else [task])]
    collections: list[Collection] = [read_folder(folder, split, encoding=encoding) for folder in folders or []]
    for name in names:
        with console.status(f"fetching {name}"):
            collections += card_task(name)
    if not collections:
        raise InvalidParameterError("nothing to measure on: pass a folder in the BEIR layout, or --task")
    with console.status("loading the models"):
        systems = _systems(models or [], bm25, dense or [], device=device, precision=precision)
    results: list[Result] = []
    for collection in collections:
        found: dict[str, tuple[str, Run, float]] = {}
        for kind, system in systems:
            began = time.perf_counter()
            with progress_bar(console) as progress:
                task = progress.add_task(f"{collection.task}: {system.name}", total=None)
                run = system.rank(collection, lambda n, p=progress, t=task: p.advance(t, n))  # type: ignore[misc]
            found[system.name] = (kind, run, time.perf_counter() - began)
        if hybrid:
            singles = list(found.items())
            for n, (name, (kind, run, seconds)) in enumerate(singles):
                for other, (other_kind, other_run, other_seconds) in singles[n + 1 :]:
                    if kind != other_kind:
                        both = f"{name} + {other}"
                        found[both] = ("hybrid", fused({name: run, other: other_run}), seconds + other_seconds)
        results += [
            Result(
                name,
                collection.task,
                collection.split,
                len(collection.queries),
                measure(run, collection.relevant),
                seconds,
            )
            for name, (_, run, seconds) in found.items()
        ]
    if target is not None:
        for path in write_report(results, target):
            console.print(f"wrote {path}", markup=False, soft_wrap=True)
    if as_json:
        print_json(to_json(results))
    else:
        output().print(markdown(results), markup=False, soft_wrap=True)


def _systems(
    models: list[str], bm25: str, dense: list[str], *, device: str | None, precision: str
) -> list[tuple[str, System]]:
    """What is to be measured, with its kind: systems of one kind are not fused with each other."""
    from pixie_retrievers.cli.models import load_encoder
    from pixie_retrievers.evaluation.systems import Bm25System, DenseSystem, SparseSystem

    systems: list[tuple[str, System]] = [
        ("bm25", Bm25System(tokens.strip())) for tokens in bm25.split(",") if tokens.strip()
    ]
    for model in models:
        encoder = load_encoder(model, device=device, precision=precision)
        name = encoder.name if precision == "auto" else f"{encoder.name} ({precision})"
        systems.append(("sparse", SparseSystem(encoder, name=name)))
    systems += [("dense", DenseSystem(model, device=device)) for model in dense]
    if not systems:
        raise InvalidParameterError("nothing to measure: pass --model, --dense, or --bm25")
    names = [system.name for _, system in systems]
    for name in names:
        if names.count(name) > 1:
            raise InvalidParameterError(f"{name} stands twice among the systems: leave one out")
    return systems
