"""What an index file must never do: run code, leak a text, follow a path of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import sqlite3
import traceback

import pytest
from histories import FINGERPRINT, IDS, VOCABULARY_SIZE, build, opened, queries, shown

from pixie_retrievers import (
    CorruptIndexError,
    Document,
    FilterError,
    IndexLockedError,
    PixieError,
    SparseVectors,
    SqliteIndex,
    StorageError,
)
from pixie_retrievers.index.sqlite.check import check_file
from pixie_retrievers.index.sqlite.repair import repair_index
from pixie_retrievers.index.sqlite.tables import TABLES

ONE = SparseVectors.from_dicts([{1: 1.0}], VOCABULARY_SIZE)
FIVE = SparseVectors.concatenate([ONE] * 5, VOCABULARY_SIZE)
CANARY = "카나리아-7f3a9c"


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_a_pickle_in_any_key_or_value_is_never_executed(tmp_path):
    marker = tmp_path / "executed"
    bombs = [pickle.dumps(Canary(marker), protocol) for protocol in (0, 2, 5)]
    path = tmp_path / "index.db"
    for bomb in bombs:
        for column in ("key", "value"):
            for table in TABLES:
                if table in ("documents", "vectors") and column == "key":
                    continue  # SQLite itself holds this key to being a number
                path.unlink(missing_ok=True)
                build(path, n_steps=6)
                connection = sqlite3.connect(path, isolation_level=None)
                connection.execute(
                    f'UPDATE "{table}" SET {column} = ? WHERE key = (SELECT max(key) FROM "{table}")', (bomb,)
                )
                connection.close()
                for use in (
                    lambda index: shown(index, queries()),
                    lambda index: index.upsert(
                        [Document(id, "") for id in IDS[:5]], SparseVectors.concatenate([ONE] * 5, 60)
                    ),
                    lambda index: index.delete(IDS),
                    lambda index: index.compact(),
                ):
                    with contextlib.suppress(PixieError), opened(path) as index:
                        use(index)
                check_file(path)
                target = tmp_path / "repaired.db"
                with contextlib.suppress(PixieError):
                    repair_index(path, target)
                for leftover in tmp_path.glob("repaired*"):
                    leftover.unlink()
    assert not marker.exists()
    pickle.loads(bombs[0])  # the canary is a live one
    assert marker.exists()


def test_a_pickle_as_text_id_and_metadata_is_only_a_text(tmp_path):
    marker = tmp_path / "executed"
    bomb = pickle.dumps(Canary(marker), 0).decode("ascii")
    document = Document(bomb, bomb, {bomb: bomb})
    with opened(tmp_path / "index.db") as index:
        index.upsert([document], ONE)
        assert index.get([bomb]) == [document]
        assert index.search(ONE, 1, filter={bomb: bomb})[0][0].document == document
    assert not marker.exists()


def test_a_view_or_trigger_in_a_foreign_file_runs_nothing(tmp_path):
    path = tmp_path / "index.db"
    build(path, n_steps=3)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("ALTER TABLE documents RENAME TO hidden")
    connection.execute("CREATE VIEW documents AS SELECT key, load_extension('evil') AS value FROM hidden")
    connection.close()
    with pytest.raises(CorruptIndexError, match="tables"):
        SqliteIndex(path, read_only=True)
    assert not check_file(path).sound


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (lambda index: index.upsert([Document("x", CANARY + "\ud800")], ONE), PixieError),
        (lambda index: index.upsert([Document("x", CANARY, {"k": {1, CANARY}})], ONE), PixieError),
        (lambda index: index.upsert([Document("x", CANARY, {"k": [CANARY, float("nan")]})], ONE), PixieError),
        (lambda index: index.upsert([Document("x", CANARY)] * 2, SparseVectors.concatenate([ONE] * 2, 60)), PixieError),
        (lambda index: index.upsert([Document("x", CANARY)], ONE[:0]), PixieError),
        (lambda index: index.upsert([Document("x", CANARY)], SparseVectors.from_dicts([{1: 1}], 7)), PixieError),
        (lambda index: index.search(ONE, 0), PixieError),
        (lambda index: index.vectors(["kept", "nobody"]), PixieError),
        (lambda index: index.search(ONE, 1, filter={"k": {"$gt": [CANARY]}}), FilterError),
    ],
)
def test_a_text_is_in_no_log_and_in_no_error(tmp_path, caplog, operation, error):
    caplog.set_level(logging.DEBUG)
    with opened(tmp_path / "index.db") as index:
        index.upsert([Document("kept", CANARY, {"k": CANARY})], ONE)
        with pytest.raises(error) as raised:
            operation(index)
        index.search(ONE, 5)
        index.compact()
        index.delete(["kept"])
    assert_absent(raised.value, caplog)


def assert_absent(error, caplog):
    said = "".join(traceback.format_exception(error, chain=True)) + repr(error) + str(vars(error))
    while error is not None:
        said += repr(error) + repr(error.args) + repr(vars(error))
        error = error.__cause__ or error.__context__
    # Python prints source lines in a traceback; values are what must not be there.
    assert CANARY not in said
    assert CANARY not in caplog.text
    assert not any(CANARY in repr(record.args) for record in caplog.records)


@pytest.mark.parametrize("table", ["documents", "ids", "meta", "postings", "vectors"])
def test_a_text_is_in_no_error_about_damage(tmp_path, caplog, table):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "index.db"
    with opened(path) as index:
        index.upsert([Document("kept", CANARY, {"k": CANARY})], ONE)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f'UPDATE "{table}" SET value = substr(value, 1, length(value) - 2)')
    connection.close()
    with pytest.raises(PixieError) as raised, opened(path) as index:
        _ = index.get(["kept"]), index.search(ONE, 1), index.vectors(["kept"])
    assert_absent(raised.value, caplog)
    assert not any(CANARY in problem for problem in check_file(path).problems)


def test_a_text_is_in_no_error_about_storage(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "index.db"
    with opened(path, lock_timeout_s=0.1) as index:
        index.upsert([Document("kept", CANARY, {"k": CANARY})], ONE)
        foreign = sqlite3.connect(path, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(IndexLockedError) as raised:
            index.upsert([Document("new", CANARY, {"k": CANARY})], ONE)
        foreign.execute("ROLLBACK")
        foreign.execute("DROP TABLE documents")
        foreign.execute("CREATE TABLE documents (key TEXT PRIMARY KEY, value BLOB CHECK (length(value) < 3))")
        foreign.close()
        with pytest.raises(PixieError) as refused:
            index.upsert([Document("other", CANARY, {"k": CANARY})], ONE)
    assert_absent(raised.value, caplog)
    assert_absent(refused.value, caplog)


@pytest.mark.parametrize(
    "name", ["a\0b", "x" * 300, "x" * 252, "missing/index.db", "", ".", "\ud800.db", "loop/index.db", "index.db/below"]
)
def test_a_path_that_cannot_be_an_index_is_refused_and_nothing_is_written(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "index.db").write_bytes(b"")
    before = {(file.name, file.lstat().st_size) for file in tmp_path.iterdir()}
    with pytest.raises(PixieError), SqliteIndex(f"{tmp_path}/{name}", vocabulary_size=VOCABULARY_SIZE) as index:
        index.upsert([Document("x", "")], ONE)
    assert {(file.name, file.lstat().st_size) for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_link_in_the_place_of_a_helper_file_is_not_followed(tmp_path, suffix):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = tmp_path / "index.db"
    build(path, n_steps=2)
    helper = path.with_name(path.name + suffix)
    helper.unlink(missing_ok=True)
    helper.symlink_to(victim)
    with contextlib.suppress(PixieError), opened(path) as index:
        index.upsert([Document("x", "")], ONE)
    assert victim.read_bytes() == b"precious"


def test_a_folder_that_may_only_be_read_is_read_and_left_alone(tmp_path):
    path = tmp_path / "index.db"
    build(path, n_steps=3)
    with opened(path) as index:
        expected = shown(index, queries())
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with opened(path) as index:
            assert shown(index, queries()) == expected
            with pytest.raises(StorageError):
                index.delete(IDS)
    finally:
        tmp_path.chmod(0o755)


def test_hundred_thousand_hostile_characters_are_checked_at_once(tmp_path):
    hostile = ["(" * 100_000, "a" * 100_000 + "!", "\u0301" * 100_000, " \t" * 50_000, "ﷺ" * 100_000, "[[" * 50_000]
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=VOCABULARY_SIZE, fingerprint=FINGERPRINT) as index:
        for text in hostile:
            index.upsert([Document(text, text, {text: text})], ONE)
            hits = index.search(ONE, 10, filter={text: {"$contains": text}})[0]
            assert [hit.document.text for hit in hits] == [text]
            hits = index.search(ONE, 10, filter={"$not": {text: {"$text": text}}})[0]
            assert text not in [hit.document.text for hit in hits]
