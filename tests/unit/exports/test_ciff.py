"""The Common Index File Format, read back by a reader of its own that knows protocol buffers and nothing of ours."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections import defaultdict

import numpy as np
import pytest
from ciff import read_ciff
from vectors import documents, random_vectors

from pixie_retrievers import Document, SparseVectors, SqliteIndex
from pixie_retrievers.exports import ciff as exporting
from pixie_retrievers.exports.exporting import export_index

pytestmark = pytest.mark.filterwarnings("ignore:4 ids hold white space")


def expected_lists(vectors, steps=100):
    lists = defaultdict(list)
    for number, row in enumerate(vectors.to_dicts()):
        for term, weight in row.items():
            if impact := round(weight * steps):
                lists[str(term)].append((number, impact))
    return dict(sorted(lists.items()))


@pytest.mark.parametrize("run_postings", [4_000_000, 100])
@pytest.mark.parametrize("encoded_at_once", [500_000, 3])
def test_postings_and_records_are_the_indexs(exported, held, monkeypatch, run_postings, encoded_at_once):
    monkeypatch.setattr(exporting, "_RUN_POSTINGS", run_postings)
    monkeypatch.setattr(exporting, "_ENCODED_AT_ONCE", encoded_at_once)
    stored, vectors = held
    header, lists, records = read_ciff((exported("ciff") / "index.ciff").read_bytes())
    expected = expected_lists(vectors)
    assert [(found.term, found.postings) for found in lists] == list(expected.items())  # in the order of the texts
    assert [(found.df, found.cf) for found in lists] == [
        (len(postings), sum(impact for _, impact in postings)) for postings in expected.values()
    ]
    lengths = [0] * len(stored)
    for postings in expected.values():
        for number, impact in postings:
            lengths[number] += impact
    assert records == [(n, document.id, lengths[n]) for n, document in enumerate(stored)]
    assert header == {
        1: 1,
        2: len(expected),
        3: len(stored),
        4: len(expected),
        5: len(stored),
        6: sum(lengths),
        7: struct.pack("<d", sum(lengths) / len(stored)),
        8: "pixie-retrievers, 100 steps a unit of weight, 모델".encode(),
    }


def test_numbers_of_every_length_come_through(tmp_path):
    impacts = [1, 127, 128, 2**14 - 1, 2**14, 2**21, 2**28 - 1, 2**28, 2**30]
    rows = [{}] * 20_000
    places = [0, 1, 127, 128, 300, 300 + 2**7, 18_000, 18_001, 19_999]
    for place, impact in zip(places, impacts, strict=True):
        rows[place] = {3: float(impact)}
    with SqliteIndex(tmp_path / "corpus.db", vocabulary_size=9) as index:
        index.upsert([Document(str(n), "") for n in range(len(rows))], SparseVectors.from_dicts(rows, 9))
        export_index(index, "ciff", tmp_path / "out", quantise=1)
    _, (found,), records = read_ciff((tmp_path / "out/index.ciff").read_bytes())
    assert found.postings == [(place, int(np.float32(impact))) for place, impact in zip(places, impacts, strict=True)]
    assert len(records) == len(rows)


def test_an_empty_index_is_a_header(tmp_path):
    with SqliteIndex(tmp_path / "empty.db", vocabulary_size=9) as index:
        export_index(index, "ciff", tmp_path / "out")
    header, lists, records = read_ciff((tmp_path / "out/index.ciff").read_bytes())
    assert (header[2], header[3], lists, records) == (0, 0, [], [])


@pytest.mark.skipif(not shutil.which("ciff2pisa"), reason="PISA's converter is not on the path: cargo install ciff")
def test_pisas_converter_finds_the_same(tmp_path):
    vectors = random_vectors(500)
    with SqliteIndex(tmp_path / "corpus.db", vocabulary_size=200) as index:
        index.upsert(documents(500), vectors)
        export_index(index, "ciff", tmp_path / "out")
    convert = ["ciff2pisa", "--ciff-file", tmp_path / "out/index.ciff", "--output", tmp_path / "pisa"]
    subprocess.run(convert, check=True, capture_output=True)
    expected = expected_lists(vectors)
    assert (tmp_path / "pisa.terms").read_text().split() == list(expected)
    assert (tmp_path / "pisa.documents").read_text().split() == [f"d{n}" for n in range(500)]
    found = zip(sequences(tmp_path / "pisa.docs")[1:], sequences(tmp_path / "pisa.freqs"), strict=True)
    assert [list(zip(numbers, impacts, strict=True)) for numbers, impacts in found] == list(expected.values())


def sequences(path):
    """The sequences of 32-bit numbers in a file, each behind its length."""
    values, place, found = np.fromfile(path, "<u4").tolist(), 0, []
    while place < len(values):
        found.append(values[place + 1 : place + 1 + values[place]])
        place += 1 + values[place]
    return found
