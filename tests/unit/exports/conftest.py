from __future__ import annotations

import json

import numpy as np
import pytest
from vectors import random_vectors

from pixie_retrievers import Document, SparseVectors, SqliteIndex
from pixie_retrievers.exports.exporting import export_index

VOCABULARY_SIZE = 200
HOSTILE = [
    '줄\n바꿈\r\n"따옴표"',
    "tab\tand 'quotes' and \\",
    "🙂👩‍🚀",
    "{}[],:\u2028\x85\x00\x1b",
    " ",
    "한글/경로?x=1#y",
    "긴" * 400,
]
N = 300
EMPTY = 50


@pytest.fixture(scope="session")
def held():
    """Documents and vectors of the exported index: hostile ids, one vector without a term, literal terms, cut texts."""
    documents = [
        Document(
            HOSTILE[n] if n < len(HOSTILE) else f"d{n}",
            f"제목 {n}\n본문 {n} “글”\u2028 \x00",
            {"title": f"제목 {n}", "n": n, "a.b": {"": [1, None, {"깊이": 1e-7}]}, "large": 2**200},
        )
        for n in range(N)
    ]
    rows = random_vectors(N, vocabulary_size=VOCABULARY_SIZE).to_dicts()
    rows[EMPTY] = {}
    rows[EMPTY + 1] = {0: 2.0**-30, 199: 300.0, 7: 1 / 3}
    vectors = SparseVectors.from_dicts(rows, VOCABULARY_SIZE).with_literal([[0, 1, 2, n % 200] for n in range(N)])
    return documents, SparseVectors(
        vectors.indptr,
        vectors.term_ids,
        vectors.weights,
        VOCABULARY_SIZE,
        vectors.literal,
        np.arange(N) % 7 == 0,
    )


@pytest.fixture
def index(held, tmp_path):
    documents, vectors = held
    with SqliteIndex(tmp_path / "corpus.db", vocabulary_size=VOCABULARY_SIZE, fingerprint="모델") as index:
        for start in range(0, N, 90):
            index.upsert(documents[start : start + 90], vectors[start : start + 90])
        yield index


@pytest.fixture
def exported(index, tmp_path):
    """Exports the index in a format; gives the folder."""

    def export(format, **options):
        return export_index(index, format, tmp_path / "out", **options).folder

    return export


@pytest.fixture
def json_lines():
    """The rows of files, in the order of their names."""

    def rows(folder, pattern):
        files = sorted(folder.glob(pattern))
        assert files
        return [json.loads(line) for file in files for line in file.read_bytes().split(b"\n")[:-1]]

    return rows
