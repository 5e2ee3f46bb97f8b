"""Every call to SQLite fails in turn: what is there afterwards is the old commit or the new one, never a mixture."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from failing import Failing
from figures import FAILURES, holds
from histories import FINGERPRINT, IDS, VOCABULARY_SIZE, Step, apply, build, model_after, opened, queries, shown

from pixie_retrievers import IndexLockedError, SqliteIndex, StorageError, StorageFullError
from pixie_retrievers.index.sqlite import files, read_store, write_store
from pixie_retrievers.index.sqlite.tables import BUSY_TIMEOUT_S

N_STEPS = 30
BATCH = queries()
SCENARIOS = {
    "upsert": Step("upsert", tuple(IDS[:5]), 1000),
    "delete": Step("delete", tuple(IDS[:8])),
    "compact": Step("compact"),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "index.db"
    build(path, n_steps=N_STEPS)
    return path


MESSAGES = {
    "disk I/O error": StorageError,
    "database or disk is full": StorageFullError,
    "database is locked": IndexLockedError,
}


@holds(FAILURES)
@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done-but-reported-as-failed"])
@pytest.mark.parametrize("action", SCENARIOS)
def test_any_failing_statement_leaves_the_old_commit_or_the_new_one(base, tmp_path, monkeypatch, action, after):
    step = SCENARIOS[action]
    old, new = model_after(0, N_STEPS), model_after(0, N_STEPS)
    new.apply(step)
    expected = {"old": old.shows(BATCH), "new": new.shows(BATCH)}
    for message, error in list(MESSAGES.items())[: None if FAILURES.n > 1 else 1]:
        n, outcomes = 0, set()
        while True:
            n += 1
            path = tmp_path / f"{error.__name__}-{n}.db"  # a failed handle may leave a log behind
            shutil.copyfile(base, path)
            failing = Failing(n, message, after=after)
            with opened(path) as index:
                shown(index, BATCH)
                with monkeypatch.context() as patch:
                    for module in (read_store, write_store):
                        patch.setattr(module, "sqlite3", failing.module)
                    try:
                        apply(index, step)
                    except error:
                        failed = True
                    else:
                        failed = False
                n_calls, failing.failing = failing.n_calls, 0
                in_place = shown(index, BATCH)  # the same handle goes on
                with opened(path, read_only=True) as reader:
                    assert shown(reader, BATCH) == in_place, n
                    assert reader.check().sound, n
                state = next(name for name, content in expected.items() if in_place == content)
                if failed and not after and action != "compact":
                    assert state == "old", n
                if not failed and action != "compact":
                    assert state == "new", n
                outcomes.add((failed, state))
                apply(index, step)
                assert shown(index, BATCH)["documents"] == expected["new"]["documents"], n
            assert failing.left_open() == [], n
            path.unlink()
            if n_calls < n:
                break
        assert n > 8
        assert (True, "old") in outcomes


@pytest.mark.parametrize("call", ["connect", "replace", "fsync"])
def test_a_failure_while_a_file_is_made_leaves_no_file_behind(tmp_path, monkeypatch, call):
    n, errors = 0, StorageError if call == "connect" else StorageFullError
    while True:
        n += 1
        path = tmp_path / "index.db"
        failing = Failing(n if call == "connect" else 0, "disk I/O error", after=False)
        with monkeypatch.context() as patch, opened(path) as index:
            if call == "connect":
                for module in (read_store, write_store):
                    patch.setattr(module, "sqlite3", failing.module)
            else:
                owner = files.os if call == "fsync" else type(path)
                patch.setattr(owner, call, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            try:
                apply(index, SCENARIOS["upsert"])
            except errors:
                assert not list(tmp_path.glob(".*")), n  # no draft
            else:
                break
        assert failing.left_open() == [], n
        with opened(path) as index:
            assert len(index) == 0
            apply(index, SCENARIOS["upsert"])
            assert index.check().sound
        for file in tmp_path.iterdir():
            file.unlink()
        if call != "connect":
            return
    assert n > 8


def test_the_writing_connection_runs_with_the_settings_that_durability_rests_on(tmp_path):
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=VOCABULARY_SIZE, fingerprint=FINGERPRINT) as index:
        for _ in range(3):
            apply(index, SCENARIOS["upsert"])
            settings = index._writer._store.settings()
            assert settings["synchronous"] == 2
            assert settings["journal_mode"] == "wal"
            assert settings["busy_timeout"] == BUSY_TIMEOUT_S * 1000 > 0
            index.compact()
            index.close()
            index = SqliteIndex(tmp_path / "index.db")  # noqa: PLW2901


def test_the_reading_connection_distrusts_the_file_it_opens(tmp_path):
    build(tmp_path / "index.db", n_steps=2)
    reader = read_store.ReadStore(tmp_path / "index.db")
    try:
        assert [reader._pragma(name) for name in ("trusted_schema", "cell_size_check", "query_only")] == [0, 1, 0]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM meta")
    finally:
        reader.close()
