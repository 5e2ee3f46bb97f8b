"""Questions by a table: what every way to derive one costs in NDCG@10, on questions that nothing was learned from.

For example::

    python tests/benchmarks/inference_free.py --data eval/set-1 --data eval/set-2 --questions train/set-3 \
        --cache /tmp/inference-free --output /tmp/inference-free.json

A table is learned from the sentences of each set's own documents and, where ``--questions`` names other sets, from
theirs. Beside the ways that `derive_query_table` tries stand those that were given up.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from vectors import cached

from pixie_retrievers import PixieEncoder, SparseRetriever, SparseVectors, SqliteIndex
from pixie_retrievers.deriving.texts import Corpus, read_corpus
from pixie_retrievers.deriving.ways import table_of, ways
from pixie_retrievers.encoder.inference_free.fitting import Observations, fit_expansions, fit_weights
from pixie_retrievers.encoder.inference_free.parts import Expansions, TableOrigin
from pixie_retrievers.encoder.inference_free.table import QueryTable
from pixie_retrievers.evaluation.collections import Collection, read_folder
from pixie_retrievers.evaluation.metrics import measure

_MOST_TEXTS = 5000
_Weighted = tuple[str, NDArray[np.float32], Expansions]


@dataclass(frozen=True)
class Row:
    """One way on one set."""

    set: str
    learned_from: str
    way: str
    ndcg: float
    overlap: float


def main(
    data: Annotated[list[Path], typer.Option(help="A BEIR folder to measure on; repeat for more")],
    questions: Annotated[
        list[Path] | None, typer.Option(help="A BEIR folder whose questions are learned from; repeat for more")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where indexes are kept from run to run")] = Path("/tmp/inference-free"),
    output: Annotated[Path | None, typer.Option(help="Write the rows as JSON")] = None,
    model: Annotated[str, typer.Option(help="A model's name or folder, or bundled")] = "bundled",
) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    encoder = PixieEncoder.bundled() if model == "bundled" else PixieEncoder(model)
    asked = [text for folder in questions or () for text in read_folder(folder).queries.values()]
    others = _observed(encoder, asked, cache)
    rows: list[Row] = []
    for folder in data:
        collection = read_folder(folder)
        with SparseRetriever.open(cache / f"{collection.task}.db", encoder=encoder) as retriever:
            retriever.add_stream(collection.documents())
            rows += _measured(collection, retriever.index, encoder, others, cache)
    _show(rows)
    if output is not None:
        output.write_text(json.dumps([vars(row) for row in rows], ensure_ascii=False, indent=1), encoding="utf-8")


def _observed(encoder: PixieEncoder, texts: Sequence[str], cache: Path) -> Observations | None:
    if not texts:
        return None
    vocabulary = encoder.vocabulary
    return Observations(
        [vocabulary.tokens_of(reading) for reading in vocabulary.read(list(texts))], _encoded(encoder, texts, cache)
    )


def _encoded(encoder: PixieEncoder, texts: Sequence[str], cache: Path) -> SparseVectors:
    key = hashlib.sha256("\n".join([encoder.fingerprint, *texts]).encode()).hexdigest()[:16]
    return cached(cache / f"{key}.npz", lambda: encoder.encode_queries(texts))


def _measured(
    collection: Collection, index: Any, encoder: PixieEncoder, others: Observations | None, cache: Path
) -> Iterator[Row]:
    ids, texts = list(collection.queries), list(collection.queries.values())
    full = _encoded(encoder, texts, cache)
    expected = _ranked(index, full)

    def row(source: str, way: str, vectors: SparseVectors) -> Row:
        found = _ranked(index, vectors)
        run = dict(zip(ids, found, strict=True))
        same = [
            len({i for i, _ in a} & {i for i, _ in b}) / max(1, len(b)) for a, b in zip(found, expected, strict=True)
        ]
        return Row(collection.task, source, way, measure(run, collection.relevant).ndcg[10], float(np.mean(same)))

    yield row("", "the model", full)
    yield row("", "the model, literal tokens alone", _only_literal(full))
    corpus = read_corpus(index, encoder, _MOST_TEXTS, random.Random(14))
    yield row("", "idf alone", _table(encoder, corpus.idf.astype(np.float32)).encode(texts))
    yield row("", "all weights 1", _table(encoder, np.ones(len(corpus.idf), np.float32)).encode(texts))
    for source, seen in (("sentences", _observed(encoder, corpus.sentences, cache)), ("questions", others)):
        if seen is not None:
            for way, weights, added in [*ways(seen, corpus, encoder.vocabulary), *_given_up(seen, corpus)]:
                yield row(source, way, _table(encoder, weights, added).encode(texts))


def _given_up(seen: Observations, corpus: Corpus) -> Iterator[_Weighted]:
    """What was tried beside the ways of :mod:`pixie_retrievers.deriving.ways`."""
    none = Expansions.none(len(corpus.idf))
    idf, documents = corpus.idf[:, None], corpus.weights[:, None]
    for name, known, strengths in (
        ("mean", None, (0, 10, 50)),
        ("idf", idf, (20, 50)),
        ("documents", documents, (2, 20, 50)),
        ("both", np.concatenate([idf, documents], axis=1), (2, 5, 20, 50)),
    ):
        for strength in strengths:
            yield f"{name}-{strength}", fit_weights(seen, known, strength), none
    weights = fit_weights(seen, idf, 5.0)
    for power in (0.25, 0.5):
        yield f"idf-5 x idf^{power:g}", (weights ** (1 - power) * corpus.idf**power).astype(np.float32), none
    weights = fit_weights(seen, documents, 5.0)
    for share in (0.25, 0.75):
        added = fit_expansions(seen, least_share=share, least_texts=5, most=4)
        yield f"documents-5, 4 added by {share:.0%}", weights, added
    yield "least squares", *_least_squares(seen)


def _least_squares(seen: Observations) -> tuple[NDArray[np.float32], Expansions]:
    """A vector a token whose sums come nearest to the model's vectors (ridge 1), without what is small or below 0."""
    from scipy.sparse import csr_matrix, identity
    from scipy.sparse.linalg import splu

    size, n = seen.vectors.vocabulary_size, len(seen.tokens)
    indptr = np.concatenate([[0], np.cumsum([len(tokens) for tokens in seen.tokens])])
    has = csr_matrix((np.ones(int(indptr[-1])), np.concatenate(seen.tokens), indptr), shape=(n, size))
    used = np.flatnonzero(np.asarray(has.sum(0)).ravel())
    has = has[:, used].tocsc()
    solver = splu((has.T @ has + identity(len(used))).tocsc())
    target = (has.T @ seen.vectors.to_scipy()).toarray()
    found = solver.solve(target)
    weights = np.zeros(size, np.float32)
    weights[used] = np.maximum(found[np.arange(len(used)), used], 0)
    found[np.arange(len(used)), used] = 0
    starts, terms, added = [0], [], []
    rows = {int(token): row for row, token in enumerate(used)}
    for token in range(size):
        if token in rows:
            best = np.argsort(-found[rows[token]])[:4]
            best = np.sort(best[found[rows[token]][best] > 0.05])
            terms.append(best)
            added.append(found[rows[token]][best])
        starts.append(starts[-1] + (len(terms[-1]) if token in rows else 0))
    return weights, Expansions(
        np.array(starts, np.int64), np.concatenate(terms).astype(np.int32), np.concatenate(added).astype(np.float32)
    )


def _table(encoder: PixieEncoder, weights: NDArray[np.float32], added: Expansions | None = None) -> QueryTable:
    origin = TableOrigin(encoder.fingerprint, 0, "", "", "")
    return table_of(encoder, weights, Expansions.none(len(weights)) if added is None else added, origin)


def _only_literal(vectors: SparseVectors) -> SparseVectors:
    kept = vectors.literal
    counts = np.concatenate([[0], np.cumsum(kept)])
    return SparseVectors(
        counts[vectors.indptr].astype(np.int64), vectors.term_ids[kept], vectors.weights[kept], vectors.vocabulary_size,
        vectors.literal[kept],
    )  # fmt: skip


def _ranked(index: SqliteIndex, vectors: SparseVectors) -> list[list[tuple[str, float]]]:
    return [[(hit.document.id, hit.score) for hit in hits] for hits in index.search(vectors, 10)]


def _show(rows: Sequence[Row]) -> None:
    sets = list(dict.fromkeys(row.set for row in rows))
    table = Table("learned from", "way", *[f"{name}: NDCG@10" for name in sets], *["same among ten"] * len(sets))
    for key in dict.fromkeys((row.learned_from, row.way) for row in rows):
        found = [next((r for r in rows if (r.set, r.learned_from, r.way) == (name, *key)), None) for name in sets]
        table.add_row(
            *key, *[f"{r.ndcg:.4f}" if r else "" for r in found], *[f"{r.overlap:.3f}" if r else "" for r in found]
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    typer.run(main)
