"""Damage to the file: refused, or of no consequence; never a wrong answer, a signal, or a change to the file."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from figures import FLIPS, TRUNCATIONS, Figure, holds
from histories import IDS, apply, build, model_after, opened, queries, shown, steps, vectors_found
from processes import script

from pixie_retrievers import CorruptIndexError, IncompatibleIndexError, SqliteIndex
from pixie_retrievers.index.sqlite.tables import TABLES

BATCH = queries(11, 12)
EVEN = {"even": True}


@pytest.fixture(scope="module", params=["float32", "uint8"])
def base(tmp_path_factory, request):
    path = tmp_path_factory.mktemp("base") / "index.db"
    build(path, n_steps=60, weights=request.param)
    return path


# Runs in a process of its own, so that a signal is seen. Damages copies, and says what each of them shows.
DAMAGE = """
import hashlib, json, shutil, sys
from pathlib import Path
import numpy as np
import histories
from pixie_retrievers import CorruptIndexError, IncompatibleIndexError, PixieError, SqliteIndex
base, kind, n, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
content = base.read_bytes()
rng = np.random.default_rng(seed)
batch = histories.queries(11, 12)
even = {"even": True}

def hits(index, **options):
    return [[(hit.document, hit.score, histories.as_dict(hit.matches)) for hit in hits]
            for hits in index.search(batch, 7, **options)]

READS = {
    "search": hits,
    "filtered": lambda index: hits(index, filter=even),
    "get": lambda index: index.get(histories.IDS),
    "match": lambda index: index.match(batch[0], histories.IDS),
    "vectors": lambda index: histories.vectors_found(index, histories.IDS),
    "some": lambda index: hits(index, ids=histories.IDS[::2]),
    "len": len,
}

def read(path):
    found = {}
    for name, how in READS.items():
        try:
            with histories.opened(path, read_only=True) as index:
                found[name] = how(index)
        except (CorruptIndexError, IncompatibleIndexError) as error:
            found[name] = error
    return found

expected = read(base)
counts = {"refused": 0, "same": 0, "hidden": 0, "check_blind": 0}
problems = []
path = base.with_name("damaged.db")
for number in range(n):
    damaged = bytearray(content)
    if kind == "flip":
        place = int(rng.integers(len(content)))
        damaged[place] ^= 1 << int(rng.integers(8)) if number % 2 else int(rng.integers(1, 256))
        where = f"byte {place}"
    elif kind == "zeros":
        place = int(rng.integers(len(content)))
        damaged[place : place + 512] = bytes(len(damaged[place : place + 512]))
        where = f"512 zeros at {place}"
    else:
        del damaged[int(rng.integers(len(content))) :]
        where = f"cut to {len(damaged)} of {len(content)}"
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(damaged)
    try:
        found = read(path)
        differ = {name for name in READS if not isinstance(found[name], PixieError) and found[name] != expected[name]}
        by_id = differ & {"get", "match", "vectors"}
        if by_id and all(
            mine is None or mine == theirs for name in by_id for mine, theirs in zip(found[name], expected[name])
        ):
            # SQLite finds no row where there is one: nothing in the file says that an id should be there.
            counts["hidden"] += 1
            differ -= {*by_id, "some"}
            suspicious = True
        else:
            suspicious = False
        if differ:
            problems.append(f"{where}: another answer to {sorted(differ)}")
        refused = any(isinstance(value, PixieError) for value in found.values())
        counts["refused" if refused else "same"] += 1
        try:
            with histories.opened(path, read_only=True) as index:
                sound = index.check().sound
        except (CorruptIndexError, IncompatibleIndexError):
            sound = False
        if sound and (refused or suspicious):
            problems.append(f"{where}: the check finds nothing")
    except Exception as error:
        problems.append(f"{where}: {type(error).__name__}: {error}")
    if path.read_bytes() != damaged:
        problems.append(f"{where}: reading changed the file")
print(json.dumps({"counts": counts, "problems": problems[:20], "n_problems": len(problems)}))
"""


def damage(base, kind, n, seed):
    found = script(DAMAGE, str(base), kind, str(n), str(seed))
    assert found["problems"] == [], found
    return found["counts"]


@holds(FLIPS)
def test_a_flipped_byte_is_refused_or_of_no_consequence(base):
    counts = damage(base, "flip", FLIPS.n // 2, 1)
    assert counts["refused"] > 0
    assert counts["same"] > 0  # free pages, the log's own counters


@holds(TRUNCATIONS)
def test_a_truncated_file_is_refused(base):
    counts = damage(base, "cut", TRUNCATIONS.n // 2, 2)
    assert counts["refused"] > counts["same"]


@holds(Figure(9, "zeroed sectors", 50, 1_000))
def test_a_zeroed_sector_is_refused_or_of_no_consequence(base):
    damage(base, "zeros", Figure(9, "", 25, 500).n, 3)


def row_changes(path):
    """Statements that leave SQLite content, and take rows away or exchange them."""
    with sqlite3.connect(path) as connection:
        keys = {table: [key for (key,) in connection.execute(f'SELECT key FROM "{table}"')] for table in TABLES}
    connection.close()
    for table in TABLES:
        for key in keys[table][:4]:
            yield table, key, f'DELETE FROM "{table}" WHERE key = ?', (key,)
            yield table, key, f'UPDATE "{table}" SET value = NULL WHERE key = ?', (key,)
            yield table, key, f'UPDATE "{table}" SET value = 7 WHERE key = ?', (key,)
            yield table, key, f"UPDATE \"{table}\" SET value = x'' WHERE key = ?", (key,)
            yield table, key, f'UPDATE "{table}" SET value = substr(value, 1, length(value) - 1) WHERE key = ?', (key,)
            other = "key + 1000000" if isinstance(key, int) else "key || 'x'"
            yield table, key, f'UPDATE "{table}" SET key = {other} WHERE key = ?', (key,)
        for one, other in zip(keys[table], keys[table][1:4], strict=False):
            swap = f'UPDATE "{table}" SET value = (SELECT value FROM "{table}" WHERE key = ?) WHERE key = ?'
            yield table, one, swap, (other, one)
        yield table, "", f'DELETE FROM "{table}"', ()
        yield table, "", f'DROP TABLE "{table}"', ()
        yield table, "", f'ALTER TABLE "{table}" DROP COLUMN value', ()


def test_missing_exchanged_and_foreign_rows_are_refused_and_named_by_the_check(base, tmp_path):
    def read(path):
        with opened(path, read_only=True) as index:
            found = shown(index, BATCH)
            filtered = [[(hit.document, hit.score) for hit in hits] for hits in index.search(BATCH, 7, filter=EVEN)]
            return found["hits"], filtered, index.get(IDS), vectors_found(index, IDS)

    expected = read(base)
    n_changes = 0
    for table, key, statement, values in row_changes(base):
        n_changes += 1
        path = tmp_path / f"{n_changes}.db"
        shutil.copyfile(base, path)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(statement, values)
        connection.close()
        try:
            found = read(path)
        except CorruptIndexError:
            pass
        else:
            assert found[:2] == expected[:2], (table, key, statement)
            for mine_all, theirs_all in zip(found[2:], expected[2:], strict=True):
                assert all(mine in (None, theirs) for mine, theirs in zip(mine_all, theirs_all, strict=True))
        try:
            with opened(path, read_only=True) as index:
                problems = index.check().problems
        except CorruptIndexError as error:
            problems = (str(error),)
        assert problems, (table, key, statement)
        for leftover in tmp_path.iterdir():
            leftover.unlink()
    assert n_changes > 100


def test_a_damaged_index_is_not_written_over(base, tmp_path):
    path = tmp_path / "index.db"
    content = bytearray(base.read_bytes())
    place = content.index(b'"vocabulary_size"')
    content[place + 3] ^= 1
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(CorruptIndexError, match="manifest"), opened(path):
        pass
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    "content",
    [b"SQLite format 3\0", b"not a database" * 1000, gzip.compress(bytes(100_000)), b"\0" * 8192],
    ids=["stub", "text", "gzip", "zeros"],
)
def test_what_is_not_an_index_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "index.db"
    path.write_bytes(content)
    with pytest.raises((CorruptIndexError, IncompatibleIndexError)):
        SqliteIndex(path, vocabulary_size=5, fingerprint="")
    assert path.read_bytes() == content
    assert {file.name for file in tmp_path.iterdir()} <= {"index.db", "index.db-wal", "index.db-shm"}


def test_another_program_s_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "index.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB)")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    with pytest.raises(IncompatibleIndexError, match="not a pixie index"):
        SqliteIndex(path, vocabulary_size=5, fingerprint="")
    assert path.read_bytes() == content


@holds(Figure(9, "bytes flipped in the write-ahead log", 100, 2_000))
def test_a_damaged_log_shows_a_commit_of_the_past_or_is_refused(tmp_path):
    path = tmp_path / "index.db"
    states = []
    with opened(path) as index:
        for number, step in zip(range(25), steps(0), strict=False):
            apply(index, step)
            states.append(model_after(0, number + 1).shows(BATCH))
        main, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    rng = np.random.default_rng(5)
    ages = set()
    for number in range(Figure(9, "", 100, 2_000).n):
        copy = tmp_path / f"copy-{number}.db"
        damaged = bytearray(log)
        if number % 3:
            damaged[int(rng.integers(len(log)))] ^= int(rng.integers(1, 256))
        else:
            del damaged[int(rng.integers(len(log))) :]
        copy.write_bytes(main)
        Path(f"{copy}-wal").write_bytes(damaged)
        try:
            with opened(copy, read_only=True) as index:
                found = shown(index, BATCH)
                assert index.check().sound
                if found["n_documents"]:
                    ages.add(states.index(found))
        except (CorruptIndexError, IncompatibleIndexError):
            pass
        for leftover in tmp_path.glob("copy-*"):
            leftover.unlink()
    assert len(ages) > 5
