"""Many ids are found by their checksums, and two ids with the same checksum are told apart all the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from zlib import crc32

import numpy as np
import pytest

from pixie_retrievers import CorruptIndexError, Document, SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite.codec import Kind, encode_arrays, encode_row
from pixie_retrievers.index.sqlite.columns.among import SumSet, sums_of
from pixie_retrievers.index.sqlite.columns.stored import column_key
from pixie_retrievers.index.sqlite.segment import segment_key

SAME_SUM = ["plumless", "buckeroo"]
SUMS_KEY = column_key(0, 1)
QUERY = SparseVectors.from_dicts([{0: 1.0}], 2)


@pytest.fixture
def path(tmp_path):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=2) as index:
        ids = [*SAME_SUM, "다", "라"]
        index.upsert([Document(id, "", {"id": id}) for id in ids], SparseVectors.from_dicts([{0: 1.0}] * 4, 2))
    return index.path


def found(index, ids, **options):
    (hits,) = index.search(QUERY, 9, ids=ids, **options)
    return [hit.document.id for hit in hits]


def overwrite(path, key, value):
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("UPDATE columns SET value = ? WHERE key = ?", (value, key)).rowcount == 1


def forget_sums(path):
    """What a file is whose writer knew nothing of checksums."""
    overwrite(path, segment_key(0), encode_row(segment_key(0), [["id"], True]))
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("DELETE FROM columns WHERE key = ?", (SUMS_KEY,)).rowcount == 1


def test_a_mask_has_every_document_that_is_wanted_and_no_other_but_by_its_checksum():
    ids = [f"문서 {i}" for i in range(3000)]
    wanted = [*ids[::7], "nobody", SAME_SUM[0]]
    mask = SumSet(wanted).mask(sums_of([*ids, *SAME_SUM]))
    assert mask.dtype == np.uint8
    assert np.flatnonzero(mask).tolist() == [*range(0, 3000, 7), 3000, 3001]
    assert not SumSet(["nobody"]).mask(sums_of(ids)).any()


def test_an_id_with_the_checksum_of_another_is_not_found_for_it(path):
    assert crc32(SAME_SUM[0].encode()) == crc32(SAME_SUM[1].encode())
    with SqliteIndex(path) as index:
        for _ in range(2):  # what was found out once is kept
            assert found(index, [SAME_SUM[0], "다"]) == [SAME_SUM[0], "다"]
            assert found(index, [SAME_SUM[1]]) == [SAME_SUM[1]]
            assert found(index, [SAME_SUM[1]], filter={"id": SAME_SUM[0]}) == []
            assert found(index, [SAME_SUM[1]], filter=lambda _: True) == [SAME_SUM[1]]
        index.delete([SAME_SUM[1]])
        assert found(index, [SAME_SUM[1], "라"]) == ["라"]


def test_checksums_follow_replacements_and_merges(path):
    with SqliteIndex(path) as index:
        index.upsert([Document("라", "", {}), Document("마", "", {})], SparseVectors.from_dicts([{0: 2.0}] * 2, 2))
        index.delete(["다"])
        for _ in range(2):
            assert found(index, ["다", "라", "마", SAME_SUM[0]]) == ["라", "마", SAME_SUM[0]]
            assert index.check().sound
            index.compact()
        assert index.stats().n_segments == 1


def test_a_file_without_checksums_finds_the_same(path):
    forget_sums(path)
    with SqliteIndex(path) as index:
        assert found(index, [SAME_SUM[0], "다", "nobody"]) == [SAME_SUM[0], "다"]
        assert index.check().sound
        index.upsert([Document("마", "", {})], SparseVectors.from_dicts([{0: 1.0}], 2))
        index.compact()  # what one segment does not know, the merged one does not either
        assert found(index, ["마", "다"]) == ["다", "마"]
        assert index.check().sound


def test_checksums_that_contradict_their_segment_are_refused_and_wrong_ones_named_by_the_check(path):
    overwrite(path, SUMS_KEY, encode_arrays(Kind.IDS, SUMS_KEY, [np.zeros(3, np.int32)]))
    with SqliteIndex(path) as index:
        with pytest.raises(CorruptIndexError, match="contradict their segment"):
            found(index, ["다"])
        overwrite(path, SUMS_KEY, encode_arrays(Kind.IDS, SUMS_KEY, [np.zeros(4, np.int32)]))
        assert index.check().problems == ("the checksums of ids in segment 0 are not those of the documents' ids",)
        overwrite(path, SUMS_KEY, b"")
        with pytest.raises(CorruptIndexError, match="damaged"):
            found(index, ["다"])


def test_few_ids_among_many_documents_are_looked_up_one_by_one(tmp_path):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=2) as index:
        documents = [Document(f"d{i}", "", {}) for i in range(700)]
        index.upsert(documents, SparseVectors.from_dicts([{0: 1.0}] * 700, 2))
        overwrite(index.path, column_key(0, 0), b"")
        assert found(index, ["d3", "d7"]) == ["d3", "d7"]
