"""The two sets of vectors, made reproducibly and kept as npz files (arrays only, no pickle).

**Synthetic.** What a large multilingual SPLADE model puts out, without the model: 50,000 terms, about 130 terms a
document and 30 a query, log-normal weights. Terms follow the Zipf-Mandelbrot law, p(rank) ~ 1 / (rank + 40): the offset
is chosen so that a query's terms have 1.9 million postings at a million documents. Terms are independent of each
other, which is the hard case for anything that prunes: no document stands out.

**Real-like.** Passages and questions of BEIR folders, encoded by the bundled model. Up to their number the documents
are those passages, shuffled. Beyond it the set grows by crossing: a new document takes a passage and a neighbour, drawn
at random from the passage's cluster (spherical k-means, 50 passages a cluster on average); a term of both is kept, with
the weight of one of the two at random; a term of the passage alone is kept with probability s, a term of the neighbour
alone with probability 1 - s, where s is drawn for each document from [0.5, 0.95]. So every weight is a weight that the
model gave to this very term in a real passage; in expectation, document frequencies, lengths and each term's
distribution of weights stay what they were; and terms occur together as in passages of one topic. What does not grow is
the variety of topics and the vocabulary in use. The text of a new document is its passage's.

Both sets are made in blocks with a seed each, so that a smaller set is the beginning of a larger one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus
from numpy.typing import NDArray

from pixie_retrievers.types import SparseVectors

__all__ = ["N_ADDED", "cached", "grown", "read_texts", "real", "synthetic"]

N_ADDED = 3_000
"""Documents beyond the indexed ones: three times the thousand whose adding is measured."""

_OF_VECTORS = ("indptr", "vocabulary_size", "cut")
_BESIDE_TERMS = tuple(field.name for field in fields(SparseVectors) if field.name not in _OF_VECTORS)
"""The arrays with an entry a term: the term ids, the weights, and whatever else a vector says of its terms."""

_BLOCK = 20_000
_SEED = 20_240_501
_VOCABULARY = 50_000
_ZIPF_OFFSET = 40
_DOCUMENT_DRAWS, _QUERY_DRAWS = 135, 30
_PASSAGES_PER_CLUSTER = 50
_FILLER = (
    "위성 영상에서 건물과 도로를 찾아내고 그 변화를 살피는 일은 재난이 났을 때 구조의 우선순위를 정하는 데 쓰인다. "
    "구름이 낀 날에는 광학 센서 대신 합성개구레이더를 쓰며, "
    "두 시기의 영상을 겹쳐 보면 땅이 얼마나 내려앉았는지도 알 수 있다."
)


def synthetic(n: int, n_queries: int, cache: Path) -> Corpus:
    """A synthetic set of n documents."""

    def build() -> SparseVectors:
        return _join(_synthetic_blocks(n + N_ADDED), n + N_ADDED, _VOCABULARY)

    vectors = cached(cache / f"synthetic-{n}.npz", build)
    queries = _synthetic_block(np.random.default_rng([_SEED, 1]), n_queries, _QUERY_DRAWS, 0)
    return Corpus(
        "synthetic",
        vectors[:n],
        vectors[n:],
        queries,
        lambda position: f"{position}번 문서. {_FILLER}",
        f"{_VOCABULARY:,} terms, Zipf-Mandelbrot with offset {_ZIPF_OFFSET}, log-normal weights, terms independent",
    )


def real(n: int, n_queries: int, folders: Sequence[Path], cache: Path) -> Corpus:
    """A real-like set of n documents, out of the passages and questions of some BEIR folders.

    Args:
        n: How many documents.
        n_queries: How many queries, drawn at random from the folders' questions.
        folders: Each with a corpus.jsonl (``text`` and maybe ``title``) and maybe a queries.jsonl.
        cache: Where vectors are kept.
    """
    from pixie_retrievers.encoder.pixie import PixieEncoder

    rng = np.random.default_rng([_SEED, 2])
    passages = read_texts(folders, "corpus.jsonl")
    questions = read_texts(folders, "queries.jsonl")
    if not passages or not questions:
        raise SystemExit("real vectors need --data folders with a corpus.jsonl and a queries.jsonl")
    passages = [passages[i] for i in rng.permutation(len(passages))]
    questions = [questions[i] for i in rng.permutation(len(questions))[:n_queries]]
    encoder = PixieEncoder.bundled()
    key = hashlib.sha256(json.dumps([encoder.fingerprint, passages, questions]).encode()).hexdigest()[:12]

    seeds = cached(cache / f"passages-{key}.npz", lambda: encoder.encode_documents(passages, show_progress=True))
    queries = cached(cache / f"questions-{key}.npz", lambda: encoder.encode_queries(questions))
    total = n + N_ADDED
    vectors = (
        cached(cache / f"real-{key}-{n}.npz", lambda: grown(seeds, total)) if total > len(seeds) else seeds[:total]
    )
    return Corpus(
        "real",
        vectors[:n],
        vectors[n:],
        queries,
        lambda position: passages[position % len(passages)],
        f"{len(seeds):,} passages of {len(folders)} corpora encoded by the bundled model"
        + (f", grown by crossing neighbours of {_n_clusters(seeds)} clusters" if total > len(seeds) else ""),
        {"n_passages": len(seeds), "encoder": encoder.name},
    )


def grown(seeds: SparseVectors, n: int) -> SparseVectors:
    """The seeds and what grows out of them, n in all; number i goes back to seed i modulo the number of seeds."""
    return _join(_grown_blocks(seeds, n), n, seeds.vocabulary_size)


def cached(path: Path, build: Callable[[], SparseVectors]) -> SparseVectors:
    """What the file holds, or else what ``build`` makes, kept in the file."""
    if path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            return SparseVectors(
                indptr=arrays["indptr"],
                vocabulary_size=int(arrays["vocabulary_size"]),
                # A version whose vectors say more reads the files of one whose say less: both are measured on the same.
                **{name: arrays[name] for name in (*_BESIDE_TERMS, "cut") if name in arrays},
            )
    vectors = build()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft.npz")
    np.savez(draft, **{field.name: getattr(vectors, field.name) for field in fields(vectors)})
    draft.replace(path)
    return vectors


def _join(parts: Iterator[SparseVectors], n: int, vocabulary_size: int) -> SparseVectors:
    return SparseVectors.concatenate(list(parts), vocabulary_size)[:n]


def _synthetic_blocks(n: int) -> Iterator[SparseVectors]:
    for block in range(-(-n // _BLOCK)):
        yield _synthetic_block(np.random.default_rng([_SEED, 0, block]), _BLOCK, _DOCUMENT_DRAWS, _DOCUMENT_DRAWS // 5)


def _synthetic_block(rng: np.random.Generator, n: int, n_draws: int, spread: int) -> SparseVectors:
    """Vectors of about ``n_draws`` terms; ``spread`` is the standard deviation of that number."""
    cumulative = np.cumsum(1 / (np.arange(_VOCABULARY) + 1 + _ZIPF_OFFSET))
    lengths = np.clip(np.rint(rng.normal(n_draws, spread, n)), 8, None).astype(np.int64)
    ranks = np.searchsorted(cumulative, rng.random(int(lengths.sum())) * cumulative[-1])
    rows = np.repeat(np.arange(n), lengths)
    # Ranks stand for terms in a fixed shuffled order: a vocabulary is not sorted by frequency.
    terms = np.random.default_rng(_SEED).permutation(_VOCABULARY)[np.minimum(ranks, _VOCABULARY - 1)]
    keys = np.unique(rows * _VOCABULARY + terms)
    weights = np.clip(rng.lognormal(-0.7, 0.75, len(keys)), 0.01, 3.5).astype(np.float32)
    counts = np.bincount(keys // _VOCABULARY, minlength=n)
    return SparseVectors(_indptr(counts), (keys % _VOCABULARY).astype(np.int32), weights, _VOCABULARY)


def _grown_blocks(seeds: SparseVectors, n: int) -> Iterator[SparseVectors]:
    yield seeds
    partners = _Partners(seeds)
    for block in range(-(-(n - len(seeds)) // _BLOCK)):
        rng = np.random.default_rng([_SEED, 3, block])
        # Grown document number i goes back to passage i modulo their number: its text is that passage's.
        first = block * _BLOCK
        passages = (len(seeds) + first + np.arange(_BLOCK)) % len(seeds)
        yield _cross(rng, seeds, passages, partners.draw(rng, passages))


def _cross(
    rng: np.random.Generator, seeds: SparseVectors, passages: NDArray[np.int64], neighbours: NDArray[np.int64]
) -> SparseVectors:
    """One new vector a pair of rows of ``seeds``; the rule stands in the module's docstring."""
    n, vocabulary = len(passages), seeds.vocabulary_size
    share = rng.uniform(0.5, 0.95, n)
    keys, sources, from_passage = [], [], []
    for side, rows in enumerate((passages, neighbours)):
        lengths = seeds.indptr[rows + 1] - seeds.indptr[rows]
        starts = np.repeat(seeds.indptr[rows] - (np.cumsum(lengths) - lengths), lengths)
        entries = starts + np.arange(int(lengths.sum()))
        keys.append(np.repeat(np.arange(n), lengths) * vocabulary + seeds.term_ids[entries])
        sources.append(entries)
        from_passage.append(np.full(len(entries), side == 0))
    all_keys, all_sources, sides = np.concatenate(keys), np.concatenate(sources), np.concatenate(from_passage)
    order = np.argsort(all_keys, kind="stable")
    all_keys, all_sources, sides = all_keys[order], all_sources[order], sides[order]
    luck = rng.random(len(all_keys))
    keep = np.where(sides, luck < share[all_keys // vocabulary], luck < 1 - share[all_keys // vocabulary])
    # A term of both stands twice, the passage's entry first: keep exactly one of the two.
    twice = np.flatnonzero(all_keys[:-1] == all_keys[1:])
    first = luck[twice] < 0.5
    keep[twice], keep[twice + 1] = first, ~first
    counts = np.bincount(all_keys[keep] // vocabulary, minlength=n)
    return SparseVectors(
        indptr=_indptr(counts),
        vocabulary_size=vocabulary,
        **{name: getattr(seeds, name)[all_sources[keep]] for name in _BESIDE_TERMS},
    )


class _Partners:
    """Clusters of passages, and neighbours drawn from them."""

    def __init__(self, seeds: SparseVectors) -> None:
        clusters = _clusters(seeds)
        self._clusters = clusters
        self._members = np.argsort(clusters, kind="stable")
        counts = np.bincount(clusters)
        self._starts, self._counts = _indptr(counts)[:-1], counts

    def draw(self, rng: np.random.Generator, passages: NDArray[np.int64]) -> NDArray[np.int64]:
        """A random member of each passage's cluster; itself at times, in a small one always."""
        clusters = self._clusters[passages]
        places = (rng.random(len(passages)) * self._counts[clusters]).astype(np.int64)
        members: NDArray[np.int64] = self._members[self._starts[clusters] + places]
        return members


def _n_clusters(seeds: SparseVectors) -> int:
    return max(1, len(seeds) // _PASSAGES_PER_CLUSTER)


def _clusters(seeds: SparseVectors, rounds: int = 4) -> NDArray[np.int64]:
    """int64, shape (n,): the cluster of each vector, by spherical k-means."""
    rows = seeds.to_scipy()
    norms = np.sqrt(rows.multiply(rows).sum(axis=1))
    rng = np.random.default_rng([_SEED, 4])
    centres = rows[rng.choice(len(seeds), _n_clusters(seeds), replace=False)].toarray()
    nearest = np.zeros(len(seeds), np.int64)
    for _ in range(rounds):
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
        nearest = np.asarray(rows @ np.ascontiguousarray(centres.T)).argmax(axis=1)
        sums = np.zeros_like(centres)
        lengths = np.diff(seeds.indptr)
        units = seeds.weights / np.repeat(np.maximum(norms, 1e-9), lengths)
        np.add.at(sums, (np.repeat(nearest, lengths), seeds.term_ids), units)
        empty = ~sums.any(axis=1)
        sums[empty] = centres[empty]
        centres = sums
    return nearest


def read_texts(folders: Sequence[Path], name: str) -> list[str]:
    """The different texts in a file of some folders, each behind its title, in the order of the files."""
    texts: dict[str, None] = {}
    for folder in folders:
        path = folder / name
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                texts[f"{row.get('title') or ''} {row['text']}".strip()] = None
    return [text for text in texts if text]


def _indptr(counts: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
