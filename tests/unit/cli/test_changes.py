"""`pixie delete`, `compact` and `repair`: what goes, what stays, and what they say."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from pixie_retrievers.index.sqlite.engine import SqliteIndex
from pixie_retrievers.types import Document, SparseVectors


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "corpus.db"
    with SqliteIndex(path, vocabulary_size=9) as index:
        index.upsert(
            [Document(f"문서-{n}", f"글 {n}" * 2000) for n in range(50)], SparseVectors.from_dicts([{1: 1.0}] * 50, 9)
        )
    return path


def ids(path):
    with SqliteIndex(path, read_only=True) as index:
        return index.ids()


def test_documents_are_deleted_by_id_and_what_is_not_there_is_named(pixie, index):
    result = pixie("delete", index, "문서-3", "문서-7", "아무도", "문서-3")
    assert (result.exit_code, result.stdout) == (0, "2 deleted, 48 left\n")
    assert result.stderr == "not there: 아무도\n"
    assert len(ids(index)) == 48
    assert not {"문서-3", "문서-7"} & set(ids(index))


def test_deleting_says_the_same_as_json(pixie, index):
    result = pixie("delete", index, "문서-3", "아무도", "--json")
    assert json.loads(result.stdout) == {
        "index": str(index),
        "n_deleted": 1,
        "not_there": ["아무도"],
        "n_documents": 49,
    }


def test_deleting_nothing_is_refused(pixie, index):
    assert pixie("delete", index).exit_code == 2


def test_compacting_shrinks_the_file_and_keeps_the_documents(pixie, index):
    pixie("delete", index, *(f"문서-{n}" for n in range(40)))
    kept = ids(index)
    said = json.loads(pixie("compact", index, "--json").stdout)
    assert said["n_documents"] == 10
    assert said["file_bytes"]["after"] < said["file_bytes"]["before"] / 2
    assert said["n_segments"]["after"] == 1
    assert ids(index) == kept
    assert pixie("compact", index).stdout.startswith("10 documents; ")


def test_one_document_is_counted_as_one(pixie, index, tmp_path):
    pixie("delete", index, "문서-0")
    assert "deleted     1 document, to be dropped by a merge" in pixie("info", index).stdout
    pixie("delete", index, *(f"문서-{n}" for n in range(2, 50)))
    assert pixie("compact", index).stdout.startswith("1 document; ")
    repaired = pixie("repair", index, tmp_path / "new.db")
    assert (repaired.exit_code, repaired.stdout) == (0, f"{tmp_path / 'new.db'}: 1 document\n")
    with closing(sqlite3.connect(index)) as database:
        database.execute("DELETE FROM vectors")
        database.commit()
    repaired = pixie("repair", index, tmp_path / "newer.db")
    assert repaired.exit_code == 1
    assert f"{tmp_path / 'newer.db'}: 0 documents\n" in repaired.stdout
    texts = f"{tmp_path / 'newer.db'}.lost.jsonl"
    assert repaired.stderr == (
        f"the texts, but not the vectors, of 1 document are in {texts}: encode and add them again\n"
    )


def test_a_locked_index_is_neither_changed_nor_waited_for_ever(pixie, index):
    with SqliteIndex(index) as writer, writer._writer._committing():
        result = pixie("delete", index, "문서-1")
        assert result.exit_code == 1
        assert "has been writing for more than 5 s: try again" in result.stderr
    assert "문서-1" in ids(index)


def test_a_backup_is_an_index_like_the_one_it_was_made_of(pixie, index, tmp_path):
    with SqliteIndex(index) as writer:
        writer.delete(["문서-0"])  # in the log, not yet in the file
        result = pixie("backup", index, tmp_path / "copy.db")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith(f"{tmp_path / 'copy.db'}: 49 documents, ")
        assert ids(tmp_path / "copy.db") == writer.ids()
    again = pixie("backup", index, tmp_path / "copy.db")
    assert again.exit_code == 1
    assert "already exists" in again.stderr
    as_json = json.loads(pixie("backup", index, tmp_path / "other.db", "--json").stdout)
    assert as_json["n_documents"] == 49
    assert as_json["bytes"] == (tmp_path / "other.db").stat().st_size
