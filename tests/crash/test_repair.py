"""Salvage: what verifies comes through, what does not is named, and the original stays as it was."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from figures import Figure, holds
from histories import (
    FINGERPRINT,
    IDS,
    VOCABULARY_SIZE,
    apply,
    build,
    document,
    model_after,
    opened,
    queries,
    shown,
    steps,
)

from pixie_retrievers import CorruptIndexError, IndexNotFoundError, PixieError, SqliteIndex, StorageError
from pixie_retrievers.index.sqlite.check import check_file
from pixie_retrievers.index.sqlite.repair import repair_index

N_STEPS = 60
BATCH = queries(3, 8)
REPAIRS = Figure(9, "repairs of files with damage at random", 60, 1_000)


@pytest.fixture(params=["float32", "float16", "uint8"])
def source(tmp_path, request):
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "index.db"
    build(path, n_steps=N_STEPS, weights=request.param)
    return path


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target" / "index.db"


def texts_of(report):
    if report.texts is None:
        return {}
    lines = [json.loads(line) for line in report.texts.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == report.n_texts
    return {line["id"]: line for line in lines}


def test_the_repair_of_a_sound_index_is_the_same_index(source, target):
    before = source.read_bytes()
    report = repair_index(source, target)
    assert report.lost == ()
    assert report.texts is None
    assert source.read_bytes() == before
    assert [file.name for file in source.parent.iterdir()] in (
        ["index.db", "index.db.lock"],
        ["index.db.lock", "index.db"],
    )
    assert [file.name for file in target.parent.iterdir()] == ["index.db"]
    with opened(source) as old, opened(target) as new:
        assert shown(new, BATCH) == shown(old, BATCH)
        assert new.check().sound
        assert new.stats().generation > old.stats().generation
        step = next(steps(0, N_STEPS))
        apply(old, step)
        apply(new, step)
        assert shown(new, BATCH) == shown(old, BATCH)


def test_commits_that_are_still_in_the_log_are_read(tmp_path, target):
    path = tmp_path / "index.db"
    with opened(path) as index:
        for _, step in zip(range(N_STEPS), steps(0), strict=False):
            apply(index, step)
        files = {file: file.read_bytes() for file in (path, Path(f"{path}-wal"))}
        assert len(files[path]) < 150_000 < len(files[Path(f"{path}-wal")])
        report = repair_index(path, target)
        assert all(file.read_bytes() == content for file, content in files.items())
    assert report.lost == ()
    with opened(target) as index:
        assert shown(index, BATCH) == model_after(0, N_STEPS).shows(BATCH)


def changed(path, statement, *values):
    connection = sqlite3.connect(path, isolation_level=None)
    n_changed = connection.execute(statement, values).rowcount
    connection.close()
    assert n_changed != 0
    return path


def test_a_document_whose_row_is_damaged_is_named_by_its_id(source, target):
    with opened(source, read_only=True) as index:
        there = [document.id for document in index.get(IDS) if document]
    connection = sqlite3.connect(source)
    (row,) = connection.execute("SELECT value FROM ids WHERE key = ?", (there[3],)).fetchone()
    connection.close()
    docno = f"{json.loads(row)[1]:016d}"
    changed(source, "UPDATE documents SET value = replace(value, '글', '귤') WHERE key = ?", docno)
    assert any(docno in problem for problem in check_file(source).problems)
    report = repair_index(source, target)
    assert [(loss.what, loss.why) for loss in report.lost] == [(there[3], "its row does not verify")]
    assert report.n_documents == len(there) - 1
    with opened(target) as index:
        assert index.check().sound
        assert index.get(there) == [None if id == there[3] else document(id, revision(index, id)) for id in there]


def revision(index, id):
    (found,) = index.get([id])
    return found.metadata["revision"]


def test_documents_whose_postings_are_damaged_keep_their_text(source, target):
    with opened(source, read_only=True) as index:
        index_before = {document.id: document for document in index.get(IDS) if document}
    changed(source, "UPDATE postings SET value = substr(value, 1, 60) WHERE key = (SELECT max(key) FROM postings)")
    assert any("block" in problem for problem in check_file(source).problems)
    report = repair_index(source, target)
    texts = texts_of(report)
    assert 0 < len(texts) < len(index_before)
    assert {loss.what for loss in report.lost} == set(texts)
    with opened(target) as index:
        assert index.check().sound
        saved = {document.id: document for document in index.get(IDS) if document}
    assert len(saved) == report.n_documents
    assert saved.keys().isdisjoint(texts)
    assert (
        saved | {id: type(index_before[id])(id, line["text"], line["metadata"]) for id, line in texts.items()}
        == index_before
    )


@pytest.mark.parametrize("identity", [True, False])
def test_without_its_manifest_an_index_is_rebuilt_from_its_segments(source, target, identity):
    with opened(source, read_only=True) as index:
        expected, weights = shown(index, BATCH), index.weights
    changed(source, "UPDATE meta SET value = replace(value, 'generation', 'generosity') WHERE key = 'manifest'")
    assert any("manifest" in problem for problem in check_file(source).problems)
    if identity:
        report = repair_index(source, target)
    else:
        changed(source, "DELETE FROM meta WHERE key = 'identity'")
        with pytest.raises(CorruptIndexError, match="vocabulary_size"):
            repair_index(source, target)
        assert list(target.parent.iterdir()) == []
        report = repair_index(source, target, vocabulary_size=VOCABULARY_SIZE, fingerprint=FINGERPRINT)
    assert [loss.what for loss in report.lost] == ["manifest"]
    with opened(target) as index:
        assert shown(index, BATCH) == expected
        assert index.weights == weights
        assert index.check().sound


@pytest.mark.parametrize("table", ["segments", "tombstones", "ids", "postings", "documents"])
def test_a_lost_table_costs_what_was_in_it(source, target, table):
    with opened(source) as index:
        index.delete([document.id for document in index.get(IDS) if document][:2])
        before = {document.id: document for document in index.get(IDS) if document}
        expected = shown(index, BATCH)
    changed(source, f'DELETE FROM "{table}"')
    report = repair_index(source, target)
    with opened(target) as index:
        assert index.check().sound
        if table in ("tombstones", "ids"):
            assert shown(index, BATCH) == expected
        else:
            assert len(index) == report.n_documents < len(before)
    if table in ("segments", "postings"):
        assert texts_of(report).keys() == before.keys() or table == "postings"
        assert texts_of(report).keys() | {id for id in before if id not in texts_of(report)} == before.keys()


@holds(REPAIRS)
@pytest.mark.parametrize("source", ["float32"], indirect=True)
def test_whatever_the_damage_nothing_wrong_comes_through_and_nothing_readable_is_thrown_away(source, target):
    with opened(source, read_only=True) as index:
        truth = {found.id: found for found in index.get(IDS) if found}
        weights = {
            id: dict(zip(matches.term_ids.tolist(), matches.document_weights.tolist(), strict=True))
            for query in BATCH
            for id, matches in zip(truth, index.match(query, list(truth)), strict=True)
        }
    content = source.read_bytes()
    rng = np.random.default_rng(6)
    n_saved = []
    for number in range(REPAIRS.n):
        damaged = bytearray(content)
        place = int(rng.integers(len(content)))
        if number % 4 == 0:
            damaged[place] ^= int(rng.integers(1, 256))
        elif number % 4 == 1:
            damaged[place : place + 8192] = rng.bytes(len(damaged[place : place + 8192]))
        elif number % 4 == 2:
            del damaged[place:]
        else:
            for _ in range(20):
                damaged[int(rng.integers(len(damaged)))] ^= int(rng.integers(1, 256))
        source.write_bytes(damaged)
        try:
            report = repair_index(source, target, vocabulary_size=VOCABULARY_SIZE, fingerprint=FINGERPRINT)
        except PixieError as error:
            pytest.fail(f"{number}: {error}")
        assert source.read_bytes() == damaged
        with SqliteIndex(target) as index:
            assert index.check().sound, (number, index.check())
            saved = {found.id: found for found in index.get(IDS) if found}
            assert len(saved) == report.n_documents == len(index)
            assert all(truth[id] == found for id, found in saved.items()), number
            for id, matches in zip(saved, index.match(BATCH[len(BATCH) - 1], list(saved)), strict=True):
                found = dict(zip(matches.term_ids.tolist(), matches.document_weights.tolist(), strict=True))
                assert found == weights[id], number
        texts = texts_of(report)
        assert all(
            (truth[id].text, truth[id].metadata) == (line["text"], line["metadata"]) for id, line in texts.items()
        )
        assert saved.keys().isdisjoint(texts)
        if len(saved) < len(truth):
            assert report.lost
        n_saved.append(len(saved) + len(texts))
        for leftover in target.parent.iterdir():
            leftover.unlink()
    assert np.mean(n_saved) > 0.5 * len(truth)
    assert max(n_saved) == len(truth)


def test_a_repair_writes_new_files_only(source, target):
    for existing in (target, target.with_name("index.db.lost.jsonl")):
        existing.write_bytes(b"mine")
        with pytest.raises(StorageError, match="exists already"):
            repair_index(source, target)
        assert existing.read_bytes() == b"mine"
        existing.unlink()
    with pytest.raises(StorageError, match="not a folder"):
        repair_index(source, target / "deeper" / "index.db")
    with pytest.raises(IndexNotFoundError):
        repair_index(source.with_name("other.db"), target)


def test_the_check_of_a_file_names_what_is_damaged_even_where_it_cannot_be_opened(source):
    assert check_file(source).sound
    changed(source, "UPDATE segments SET value = x'00'")
    with pytest.raises(CorruptIndexError), opened(source):
        pass
    assert any("head" in problem for problem in check_file(source).problems)
    source.write_bytes(b"no database" * 100)
    assert any("not an SQLite database" in problem for problem in check_file(source).problems)
