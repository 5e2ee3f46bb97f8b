"""`pixie demo`: a Korean corpus indexed, searched, explained, changed and opened again, as a person would watch it."""

from __future__ import annotations

import json
import math
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pixie_retrievers.cli import corpus
from pixie_retrievers.cli.options import Device
from pixie_retrievers.cli.terminal import file_size, notes, output, print_json
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixie_retrievers.cli.reopen import Ranking, Search
    from pixie_retrievers.encoder.pixie import PixieEncoder
    from pixie_retrievers.index.sqlite.engine import SqliteIndex
    from pixie_retrievers.retriever import SparseRetriever

__all__ = ["demo"]

_K = 3
_N_TOKENS = 5
_NEW_TEXT = "텔레픽스의 위성 데이터는 해양 관측, 자원 탐사, 농업 작황 분석 같은 산업 분야에서 활용된다."


def demo(
    target: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Keep the index in this new file.", show_default="a temporary file"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER|bundled",
            help="The model. Left out: PIXIE-Splade-Preview where it can be had, the bundled model otherwise.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    queries: Annotated[int, typer.Option(min=0, max=len(corpus.CHOSEN), help="Questions beside the card's.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print what happened as one JSON document instead.")] = False,
) -> None:
    """Index a small Korean corpus, search it, see why each hit matched, change it, and open it again."""
    if target is not None and target.exists():
        raise InvalidParameterError(f"{target} already exists: name a new file, or remove this one")
    console = Console(quiet=True) if as_json else output()
    began = time.perf_counter()
    with ExitStack() as stack:
        folder = "" if target else stack.enter_context(tempfile.TemporaryDirectory(prefix="pixie-"))
        report = _tell(target or Path(folder, "demo.db"), model, device, queries, console)
    report["seconds"] = round(time.perf_counter() - began, 3)
    _what_next(target, report, console)
    if as_json:
        print_json(report)


def _tell(path: Path, model: str | None, device: str | None, n_chosen: int, console: Console) -> dict[str, Any]:
    from pixie_retrievers.cli.reopen import NewProcess, ranking
    from pixie_retrievers.index.sqlite.engine import SqliteIndex
    from pixie_retrievers.retriever import SparseRetriever

    questions = corpus.questions()
    searches: list[Search] = [(questions[id].text, None) for id in (*corpus.CARD, *corpus.CHOSEN[:n_chosen])]
    searches.append((questions[corpus.FILTERED[0]].text, corpus.FILTERED[1]))
    report: dict[str, Any] = {}

    _heading(console, 1, "The model")
    encoder, report["model"] = _load(model, device, console)
    index = SqliteIndex(path, vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint)
    with NewProcess() as process:
        with SparseRetriever(encoder, index) as retriever:
            _heading(console, 2, "A corpus in one SQLite file")
            report["index"] = _fill(retriever, index, console)
            _heading(console, 3, "Questions, and why each passage was found")
            report["queries"] = _ask(retriever, searches, console)
            report["quality"] = _measure(retriever, list(questions.values()), console)
            _heading(console, 4, "One document deleted, one updated")
            report |= _change(retriever, searches[0][0], console)
            before = [ranking(retriever.search(text, _K, filter=filter, top_k_tokens=0)) for text, filter in searches]
        _heading(console, 5, "The file opened again, in a new process")
        began = time.perf_counter()
        with notes().status("a new process opens the file"):
            after = process.search(str(path), searches, k=_K, model=model, device=device)
        report["reopened"] = _compare(searches, before, after, time.perf_counter() - began, console)
    return report


def _load(model: str | None, device: str | None, console: Console) -> tuple[PixieEncoder, dict[str, Any]]:
    from pixie_retrievers.cli.models import load_encoder

    began = time.perf_counter()
    fallback = False
    with notes().status("loading the model"):
        try:
            encoder = load_encoder(model, device=device)
        except ModelUnavailableError:
            if model is not None:
                raise
            fallback = True
            encoder = load_encoder("bundled", device=device)
    if fallback:
        note = "PIXIE is neither cached nor reachable on the hub: using the bundled model."
        (notes() if console.quiet else console).print(note, style="yellow")
    seconds = time.perf_counter() - began
    console.print(
        f"{encoder.name}: a vocabulary of {encoder.vocabulary_size:,} tokens, on {encoder.device}; {seconds:.1f} s",
        markup=False,
    )
    return encoder, {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "device": encoder.device,
        "precision": encoder.precision,
        "fallback": fallback,
    }


def _fill(retriever: SparseRetriever, index: SqliteIndex, console: Console) -> dict[str, Any]:
    from pixie_retrievers.cli.storing import store

    documents = corpus.passages()
    began = time.perf_counter()
    store(index, retriever.encoder, documents, notes(), total=len(documents))
    seconds = time.perf_counter() - began
    n_fields = len({document.metadata["field"] for document in documents})
    size = index.stats().file_bytes  # the write-ahead log included, where all of it is so far
    console.print(
        f"{len(retriever)} passages from {n_fields} fields, encoded and committed; {file_size(size)}, {seconds:.1f} s"
    )
    return {"path": str(index.path), "documents": len(retriever), "bytes": size, "seconds": round(seconds, 3)}


def _ask(retriever: SparseRetriever, searches: Sequence[Search], console: Console) -> list[dict[str, Any]]:
    from pixie_retrievers.render import LEGEND, result_view

    console.print(f"{LEGEND} On one line such tokens carry a ~.", style="dim")
    asked = []
    for number, (text, filter) in enumerate(searches):
        from_card = number < len(corpus.CARD)
        results = retriever.search(text, _K if from_card else _K - 1, filter=filter, top_k_tokens=_N_TOKENS)
        condition = {} if filter is None else {"filter": filter}
        hits = [{"rank": rank, **result.to_dict()} for rank, result in enumerate(results, start=1)]
        asked.append({"query": text, **condition, "results": hits})
        console.print()
        console.print(_question(text))
        if filter is not None:
            console.print(f"  only documents that pass {json.dumps(filter, ensure_ascii=False)}", style="dim")
        for rank, result in enumerate(results, start=1):
            in_full = from_card and rank == 1
            console.print(
                result_view(
                    result,
                    rank=rank,
                    tokens="table" if in_full else "line",
                    max_characters=160 if in_full else 80,
                )
            )
    return asked


def _measure(retriever: SparseRetriever, questions: Sequence[corpus.Question], console: Console) -> dict[str, int]:
    found = retriever.search_many([question.text for question in questions], 1, top_k_tokens=0)
    right = sum(
        bool(results) and results[0].document.id in question.relevant
        for question, results in zip(questions, found, strict=True)
    )
    console.print()
    console.print(
        f"Of all {len(questions)} questions of the corpus, {right} find a passage that answers them at rank 1"
        f" ({right / len(questions):.0%})."
    )
    return {"questions": len(questions), "right_at_rank_1": right}


def _change(retriever: SparseRetriever, query: str, console: Console) -> dict[str, Any]:
    """Delete the best hit, then rewrite the last one that is left; the rankings before and after both."""
    from pixie_retrievers.types import Document

    def ranked() -> list[tuple[Document, float]]:
        return [(result.document, result.score) for result in retriever.search(query, _K, top_k_tokens=0)]

    first = ranked()
    deleted = first[0][0]
    retriever.delete([deleted.id])
    second = ranked()
    chosen = second[-1][0]
    updated = Document(chosen.id, f"{chosen.metadata['title']}\n{_NEW_TEXT}", chosen.metadata)
    retriever.add([updated])
    third = ranked()

    console.print(_question(query))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("rank", "before", f"{deleted.id} deleted", f"{updated.id} updated"):
        table.add_column(Text(title), no_wrap=True)
    for rank, row in enumerate(zip(first, second, third, strict=False), start=1):
        cells = [Text(f"{document.id}  {score:.2f}") for document, score in row]
        for cell, (document, _) in zip(cells, row, strict=True):
            cell.stylize("red" if document.id == deleted.id else "green" if document.id == updated.id else "")
        table.add_row(f"{rank}", *cells)
    console.print(table)
    console.print(Text.assemble((f"{updated.id} now says: ", "dim"), _NEW_TEXT))
    rankings = [[(document.id, score) for document, score in hits] for hits in (first, second, third)]
    return {
        "deleted": {"query": query, "id": deleted.id, "before": rankings[0], "after": rankings[1]},
        "updated": {"query": query, "id": updated.id, "before": rankings[1], "after": rankings[2]},
    }


def _compare(
    searches: Sequence[Search], before: Sequence[Ranking], after: Sequence[Ranking], seconds: float, console: Console
) -> dict[str, Any]:
    n_same = sum(_same(old, new) for old, new in zip(before, after, strict=True))
    console.print(
        f"{n_same} of {len(searches)} questions find the same documents with the same scores; {seconds:.1f} s",
        style="" if n_same == len(searches) else "bold red",
    )
    return {"questions": len(searches), "same": n_same, "rankings": after, "seconds": round(seconds, 3)}


def _same(old: Ranking, new: Ranking) -> bool:
    return [id for id, _ in old] == [id for id, _ in new] and all(
        math.isclose(a, b, rel_tol=1e-5) for (_, a), (_, b) in zip(old, new, strict=True)
    )


def _what_next(target: Path | None, report: dict[str, Any], console: Console) -> None:
    console.print()
    console.rule(Text(f"Done in {report['seconds']:.0f} s. Now yours", style="bold"), align="left", style="dim")
    file = str(target) if target else "corpus.db"
    if target is None:
        console.print("pixie index notes.jsonl folder/ -o corpus.db   [dim]# .jsonl, .txt, .md[/dim]")
    console.print(f"pixie search {file} '질문'", markup=False)
    console.print(f"pixie explain {file} '질문' ID", markup=False)


def _question(text: str) -> Text:
    return Text.assemble(("? ", "bold cyan"), (text, "bold"))


def _heading(console: Console, number: int, title: str) -> None:
    if number > 1:
        console.print()
    console.rule(Text(f"{number}  {title}", style="bold"), align="left", style="dim")
