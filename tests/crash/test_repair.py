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
    vectors,
)

from pixie_retrievers import (
    CorruptIndexError,
    Document,
    PixieError,
    SqliteIndex,
)
from pixie_retrievers.index.sqlite.check import check_file
from pixie_retrievers.index.sqlite.codec import encode_row
from pixie_retrievers.index.sqlite.repair import repair_index
from pixie_retrievers.index.sqlite.snapshot import docno_key
from pixie_retrievers.index.sqlite.vectors import decode_vectors, encode_vectors

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
    assert [file.name for file in source.parent.iterdir()] == ["index.db"]
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


def docno_of(path, id):
    connection = sqlite3.connect(path)
    (row,) = connection.execute("SELECT value FROM ids WHERE key = ?", (id,)).fetchone()
    connection.close()
    return json.loads(row)[1]


def documents_in(path):
    with opened(path, read_only=True) as index:
        return {document.id: document for document in index.get(IDS) if document}


def test_a_document_whose_row_is_damaged_is_named_by_its_id(source, target):
    there = list(documents_in(source))
    docno = docno_of(source, there[3])
    changed(source, "UPDATE documents SET value = replace(value, '글', '귤') WHERE key = ?", docno)
    assert any(str(docno) in problem for problem in check_file(source).problems)
    report = repair_index(source, target)
    assert [(loss.what, loss.why) for loss in report.lost] == [(there[3], "its row does not verify")]
    assert report.n_documents == len(there) - 1
    with opened(target) as index:
        assert index.check().sound
        assert index.get(there) == [None if id == there[3] else document(id, revision(index, id)) for id in there]


def revision(index, id):
    (found,) = index.get([id])
    return found.metadata["revision"]


def test_documents_whose_vectors_are_damaged_keep_their_text(source, target):
    before = documents_in(source)
    damaged = list(before)[1:9:2]
    docnos = [docno_of(source, id) for id in damaged]
    for docno in docnos[1:]:
        changed(source, "UPDATE vectors SET value = CAST(value || x'00' AS BLOB) WHERE key = ?", docno)
    changed(source, "DELETE FROM vectors WHERE key = ?", docnos[0])
    problems = check_file(source).problems
    assert all(any(f"vector of document number {docno}" in problem for problem in problems) for docno in docnos)
    report = repair_index(source, target)
    texts = texts_of(report)
    assert texts.keys() == set(damaged)
    assert sorted(loss.what for loss in report.lost) == sorted(damaged)
    assert all((before[id].text, before[id].metadata) == (texts[id]["text"], texts[id]["metadata"]) for id in damaged)
    assert report.n_documents == len(before) - len(damaged)
    assert documents_in(target) == {id: document for id, document in before.items() if id not in damaged}
    assert check_file(target).sound


def test_with_all_postings_heads_tombstones_columns_and_ids_destroyed_every_document_comes_through(source, target):
    with opened(source, read_only=True) as index:
        expected = shown(index, BATCH)
    for table in ("segments", "postings", "tombstones", "columns", "ids"):
        changed(source, f"UPDATE \"{table}\" SET value = CAST(x'00' || value AS BLOB)")
    report = repair_index(source, target)
    assert (report.lost, report.texts) == ((), None)
    with opened(target) as index:
        assert shown(index, BATCH) == expected
        assert index.check().sound


def test_a_deleted_document_leaves_nothing_behind_that_could_come_back(tmp_path):
    path, rng, alive, gone = tmp_path / "index.db", np.random.default_rng(7), {}, []
    with opened(path) as index:
        for step in range(60):
            ids = [IDS[i] for i in rng.choice(len(IDS), 9, replace=False)]
            gone += [alive.pop(id) for id in ids if id in alive]
            if step % 3 == 2:
                index.delete(ids)
                continue
            texts = [f"canary-{step:03d}-{i}-" + "글" * int(rng.choice([3, 300, 3_000])) for i in range(9)]
            index.upsert([Document(id, text) for id, text in zip(ids, texts, strict=True)], vectors(ids, step))
            alive |= {id: text[:13] for id, text in zip(ids, texts, strict=True)}
    content = path.read_bytes()
    assert len(gone) > 300
    assert [canary for canary in gone if canary.encode() in content] == []
    assert all(canary.encode() in content for canary in alive.values())


def test_of_an_id_that_stands_twice_the_newest_wins(source, target):
    before = documents_in(source)
    id = next(iter(before))
    docno = docno_of(source, id)
    connection = sqlite3.connect(source, isolation_level=None)
    (row,) = connection.execute("SELECT value FROM vectors WHERE key = ?", (docno,)).fetchone()
    old = Document(id, "old", {})
    stored = decode_vectors([docno], {docno: row}, opened_weights(source), VOCABULARY_SIZE)
    for number in range(docno):  # an insertion number that a deleted document had
        if not connection.execute("SELECT 1 FROM documents WHERE key = ?", (number,)).fetchone():
            break
    content = encode_row(docno_key(number), [old.id, old.text, {}])
    connection.execute("INSERT INTO documents VALUES (?, ?)", (number, content))
    connection.execute("INSERT INTO vectors VALUES (?, ?)", *encode_vectors(stored, [number], VOCABULARY_SIZE))
    connection.execute("UPDATE segments SET value = x'00'")
    connection.close()
    report = repair_index(source, target)
    assert report.lost == ()
    assert documents_in(target) == before


def opened_weights(path):
    with opened(path, read_only=True) as index:
        return index.weights


@pytest.mark.parametrize("identity", [True, False])
def test_without_its_manifest_an_index_is_rebuilt_from_its_documents(source, target, identity):
    with opened(source, read_only=True) as index:
        expected, weights, generation = shown(index, BATCH), index.weights, index.stats().generation
    last_docno = max(docno_of(source, id) for id in documents_in(source))
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
        assert index.stats().generation > generation
        index.upsert([document(IDS[0], 99)], vectors(IDS[:1], 99))
    assert docno_of(target, IDS[0]) > last_docno


@pytest.mark.parametrize("table", ["documents", "vectors", "meta"])
def test_a_lost_table_costs_what_was_in_it(source, target, table):
    before = documents_in(source)
    changed(source, f'DELETE FROM "{table}"')
    report = repair_index(source, target, vocabulary_size=VOCABULARY_SIZE, fingerprint=FINGERPRINT)
    assert check_file(target).sound
    assert documents_in(target) == (before if table == "meta" else {})
    assert texts_of(report).keys() == (before.keys() if table == "vectors" else set())
    assert {loss.what for loss in report.lost} == ({"manifest"} if table == "meta" else before.keys())


@holds(REPAIRS)
@pytest.mark.parametrize("source", ["float32"], indirect=True)
def test_whatever_the_damage_nothing_wrong_comes_through_and_nothing_readable_is_thrown_away(source, target):
    truth = documents_in(source)
    with opened(source, read_only=True) as index:
        whole = dict(zip(truth, index.vectors(list(truth)), strict=True))
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
            assert all(whole[id] == row for id, row in zip(saved, index.vectors(list(saved)), strict=True)), number
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
    assert np.mean(n_saved) > 0.7 * len(truth)
    assert max(n_saved) == len(truth)


def test_the_check_of_a_file_names_what_is_damaged_even_where_it_cannot_be_opened(source):
    assert check_file(source).sound
    changed(source, "UPDATE segments SET value = x'00'")
    with pytest.raises(CorruptIndexError), opened(source):
        pass
    assert any("head" in problem for problem in check_file(source).problems)
    source.write_bytes(b"no database" * 100)
    assert any("not an SQLite database" in problem for problem in check_file(source).problems)
