"""Index files whose rows say anything at all under checksums that hold: damage that is named, never another error."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import struct
import zlib

import numpy as np
import pytest
from figures import ROWS, holds
from histories import IDS, VOCABULARY_SIZE, apply, opened, queries, steps
from processes import script

from pixie_retrievers import (
    CorruptIndexError,
    Document,
    DocumentNotFoundError,
    IncompatibleIndexError,
    PixieError,
    SparseVectors,
    SqliteIndex,
)
from pixie_retrievers.index.sqlite.check import check_file
from pixie_retrievers.index.sqlite.codec import DTYPES, FORMAT_VERSION, Kind, decode_arrays, encode_arrays, encode_row
from pixie_retrievers.index.sqlite.manifest import MANIFEST_KEY
from pixie_retrievers.index.sqlite.repair import repair_index
from pixie_retrievers.index.sqlite.segment import HEAD_DTYPES
from pixie_retrievers.index.sqlite.tables import TABLES

ONE = SparseVectors.from_dicts([{1: 1.0}], VOCABULARY_SIZE)
QUERIES = queries()
DEEP = [200, 1_000, 5_000, 200_000]
ATOMS = [
    *(None, True, False, 0, 1, -1, 2, 7, 65535, 65536, 65537, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1),
    *(2**63, 2**64, -(2**63), -(2**63) - 1, 10**300, 1e300, -0.0, 0.5, float("nan"), float("inf"), float("-inf")),
    *("", "x", "float32", "\ud800", "a\udfffb", "\0", "문서-1", "manifest", "가" * 300, [], {}, [1], [[1]], {"a": 1}),
    *([0] * 6, [1, 1, 0, 1, 1, 0], [[0, 1, 0, 1, 1, 0]] * 3, {"": {"": []}}, {"\ud800": 1}),
]


def checksum(key, content):
    return zlib.crc32(content, zlib.crc32(key))


def key_bytes(table, key):
    return b"%016d" % key if table == "documents" else b"vector %d" % key if table == "vectors" else key


def hostile_row(rng, key, row):
    """A JSON row, changed, with the checksum that it should have."""
    how = rng.integers(10)
    try:
        values = json.loads(row)[1:]
    except (ValueError, RecursionError):
        values = [1]  # it was changed before
    if how == 0:
        depth = int(rng.choice(DEEP))
        opening, closing = [(b"[", b"]"), (b'{"a":', b"}")][rng.integers(2)]
        tail = b"," + opening * depth + b"1" + closing * (depth if rng.integers(2) else 0) + b"]"
    elif how == 1:
        tail = bytearray(row[len('["00000000"') :])
        for _ in range(int(rng.integers(1, 4))):
            if tail:
                tail[int(rng.integers(len(tail)))] = int(rng.choice([*b'[]{}",:\\x0', 0, 0x80, 0xFF, 0xED]))
        tail = bytes(tail)
    elif how == 2:
        cut = int(rng.integers(len(row)))
        tail = row[len('["00000000"') :][:cut] + [b"", b"]", b"],[", b']]]],["x"'][rng.integers(4)]
    elif how == 3:
        tail = b"," + b"9" * int(rng.choice([400, 5_000])) + b"]"
    else:
        for _ in range(int(rng.integers(1, 3))):
            values = changed(rng, values)
        values = values if isinstance(values, list) else [values]
        tail = json.dumps(["", *values], ensure_ascii=bool(rng.integers(2)), separators=(",", ":"))[len('[""') :]
        tail = tail.encode(errors="surrogatepass")
    return b'["%08x"' % checksum(key, tail) + tail


def changed(rng, value):
    """A JSON value with something in it changed."""
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = int(rng.integers(len(value)))
        if rng.random() < 0.1:
            return value[:place] + value[place + 1 :] if rng.integers(2) else [*value, value[place]]
        return [changed(rng, item) if number == place else item for number, item in enumerate(value)]
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = list(value)[int(rng.integers(len(value)))]
        rest = {name: item for name, item in value.items() if name != key}
        if rng.random() < 0.1:
            return rest if rng.integers(2) else {**value, "new": value[key]}
        return {**rest, key: changed(rng, value[key])}
    if isinstance(value, int) and rng.random() < 0.3:
        return value + int(rng.choice([-1, 1, 10, 2**20]))
    return ATOMS[int(rng.integers(len(ATOMS)))]


def hostile_frame(rng, key, frame):
    """A frame of arrays, changed, with the checksum that it should have."""
    content = bytearray(frame)
    n_arrays = content[6] | content[7] << 8
    for _ in range(int(rng.integers(1, 4))):
        how, body = rng.integers(6), 16 + 8 * n_arrays
        if how == 0 and n_arrays and len(content) >= body:  # another length or type of an array
            place = 16 + 8 * int(rng.integers(n_arrays))
            length = int(rng.choice([0, 1, 2, 300, 65536, 2**31, 2**32 - 1]))
            content[place : place + 8] = struct.pack("<BxxxI", int(rng.integers(len(DTYPES) + 1)), length)
        elif how == 1:
            content[int(rng.integers(4, 8))] = int(rng.integers(256))
        elif how == 2:
            del content[max(16, len(content) - int(rng.integers(1, 40))) :]
        elif how == 3:
            content += rng.bytes(int(rng.integers(1, 40)))
        elif len(content) > body:  # a number
            place = int(rng.integers(body, len(content)))
            number = rng.choice(
                [b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f", b"\0" * 8]
            )
            content[place : place + len(number)] = bytes(number)
    content[8:12] = struct.pack("<I", checksum(key, bytes(content[:8] + content[16:])))
    return bytes(content)


def hostile_vector(rng, key, row):
    content = bytearray(row)
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.2:
            content = content[: int(rng.integers(4, len(content) + 1))] + rng.bytes(int(rng.integers(0, 9)))
        if len(content) > 4:
            content[int(rng.integers(4, len(content)))] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
    content[:4] = struct.pack("<I", checksum(key, bytes(content[4:])))
    return bytes(content)


def hostile_value(rng, table, key, value):
    """What stands under a key instead of what did."""
    how = rng.random()
    if how < 0.04:
        return [None, 5, 1.5, "text", b"", b'["', b"PXIE", bytes(16)][int(rng.integers(8))]
    if not isinstance(value, bytes) or len(value) < 16:  # it was changed before
        return b""
    if table == "vectors":
        return hostile_vector(rng, key, value)
    return hostile_row(rng, key, value) if value[:2] == b'["' else hostile_frame(rng, key, value)


def spoil(rng, path):
    """Change some rows of a file."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = bytes
    for _ in range(int(rng.integers(1, 4))):
        table = TABLES[int(rng.choice(len(TABLES), p=[0.3, *[0.1] * (len(TABLES) - 1)]))]
        rows = connection.execute(f"SELECT key, value FROM {table} ORDER BY key").fetchall()
        if not rows:
            continue
        key, value = rows[int(rng.integers(len(rows)))]
        new_key = key
        if rng.random() < 0.1:  # under another key, which it is right for
            numbers = [-5, 0, 2**62, 2**63 - 1]
            names = ["", "manifest", "identity", "99999999999", "0000000000", "-1", "\0"]
            by_number = table in ("documents", "vectors")
            new_key = numbers[int(rng.integers(4))] if by_number else names[int(rng.integers(len(names)))]
        said = new_key.encode() if isinstance(new_key, str) else new_key
        content = hostile_value(rng, table, key_bytes(table, said), value)
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (as_text(new_key), as_text_row(content)))
    connection.close()


def as_text(key):
    return key.decode(errors="replace") if isinstance(key, bytes) else key


def as_text_row(content):
    """Rows are stored as text where they are."""
    if isinstance(content, bytes) and content[:1] == b"[":
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode()
    return content


def counts(stats):
    assert 0 <= stats.n_cut <= stats.n_documents


def use(path, target):
    """Everything that a reader, a check and a repair do."""
    with contextlib.suppress(CorruptIndexError, IncompatibleIndexError), SqliteIndex(path, read_only=True) as index:
        for call in (
            lambda: counts(index.stats()),
            lambda: index.search(QUERIES, 5),
            lambda: index.search(QUERIES[:1], 100),
            lambda: index.search(QUERIES[:1], 5, filter={"even": True, "revision": {"$gte": 0}}),
            lambda: index.search(QUERIES[:1], 5, filter=bool, ids=IDS),
            lambda: index.ids(filter={"$or": [{"text": {"$text": "글"}}, {"revision": {"$contains": "1"}}]}),
            lambda: json.dumps([document.metadata for document in index.get(IDS) if document]).encode(),
            lambda: index.match(QUERIES[0], IDS),
            lambda: index.vectors([id for id in index.ids(limit=5) if id]),
        ):
            # A document may say that it has an id which leads nowhere.
            with contextlib.suppress(CorruptIndexError, DocumentNotFoundError):
                call()
    with contextlib.suppress(IncompatibleIndexError):
        for problem in check_file(path).problems:
            problem.encode()
    with contextlib.suppress(CorruptIndexError, IncompatibleIndexError):
        repair_index(path, target)
        assert check_file(target).sound


def write(path):
    with contextlib.suppress(PixieError), opened(path) as index:
        index.upsert([Document("new", "글", {"even": True})], ONE)
        index.delete(IDS[:3])
        index.compact()


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    for number, weights in enumerate(("float32", "uint8")):
        with opened(folder / weights, weights=weights) as index:
            for _, step in zip(range(8), steps(number), strict=False):
                apply(index, step)
            index.delete(index.ids()[:1])
    return [folder / "float32", folder / "uint8"]


@holds(ROWS)
def test_rows_that_say_anything_give_no_other_error_than_damage(tmp_path, originals):
    path = tmp_path / "index.db"
    for number in range(ROWS.n):
        rng = np.random.default_rng([11, number])
        shutil.copyfile(originals[number % 2], path)
        spoil(rng, path)
        try:
            use(path, tmp_path / "repaired.db")
            if number % 4 == 0:
                write(path)
        except Exception as error:
            raise AssertionError(f"file {number}") from error
        for leftover in [*tmp_path.glob("repaired*"), *tmp_path.glob("index.db*")]:
            leftover.unlink()


def put(path, table, key, value):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (key, value))
    connection.close()


def manifest_of(path):
    connection = sqlite3.connect(path)
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (MANIFEST_KEY,)).fetchone()[0]
    connection.close()
    return json.loads(row)[2]


OPENING = """
import resource, sys
from pixie_retrievers import CorruptIndexError, SqliteIndex
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    SqliteIndex(sys.argv[1])
except CorruptIndexError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)  # kB
"""


@pytest.mark.parametrize(
    "claim",
    [
        {"vocabulary_size": 2**30},
        {"vocabulary_size": 2**20, "segments": [[n, 1, 0, 1, 1, 0] for n in range(100)]},
        {"segments": [[n, 65536, 0, 65536, 1, 0] for n in range(100)]},
        {"segments": [[0, 65536, 0, 2**31, 1, 0]]},
        {"segments": [[0, 1000, 0, 60_000, 1, 0]]},
    ],
)
def test_a_manifest_that_claims_more_than_its_file_holds_is_refused_before_anything_is_allocated(
    tmp_path, originals, claim
):
    path = shutil.copyfile(originals[0], tmp_path / "index.db")
    content = manifest_of(path) | {"next_segment": 100} | claim
    put(path, "meta", MANIFEST_KEY, encode_row(MANIFEST_KEY, [FORMAT_VERSION, content]))
    with pytest.raises(CorruptIndexError, match="manifest"):
        SqliteIndex(path)
    assert not check_file(path).sound
    assert script(OPENING, str(path)) < 20_000


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE VIEW more AS SELECT 1"],
        ["CREATE TRIGGER run AFTER INSERT ON ids BEGIN DELETE FROM documents; END"],
        ["CREATE TABLE more (key)"],
        ["CREATE INDEX more ON documents (value)"],
        ["CREATE VIRTUAL TABLE more USING fts5(x)"],
        ["DROP TABLE tombstones"],
        ["DROP TABLE tombstones", "CREATE TABLE tombstones (key TEXT PRIMARY KEY, value BLOB DEFAULT 1)"],
        ["DROP TABLE tombstones", "CREATE TABLE tombstones (key TEXT PRIMARY KEY, value BLOB AS (zeroblob(1 << 30)))"],
        [
            "ALTER TABLE documents RENAME TO d",
            "CREATE VIEW documents AS SELECT key, load_extension(value) AS value FROM d",
        ],
        ["ALTER TABLE meta ADD COLUMN more"],
    ],
)
def test_a_file_with_other_tables_or_more_than_tables_is_refused(tmp_path, originals, statements):
    path = shutil.copyfile(originals[0], tmp_path / "index.db")
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    with pytest.raises(CorruptIndexError, match="tables"):
        SqliteIndex(path, read_only=True)
    assert not check_file(path).sound
    assert repair_index(path, tmp_path / "repaired.db").n_documents > 0
    assert check_file(tmp_path / "repaired.db").sound


@pytest.mark.parametrize("end", [{"next_docno": 2**62}, {"generation": 2**62}, {"next_segment": 9 * 10**9}])
def test_an_index_at_the_end_of_its_numbers_is_read_and_repaired_and_no_write_ruins_it(tmp_path, originals, end):
    path = shutil.copyfile(originals[0], tmp_path / "index.db")
    content = manifest_of(path) | end
    put(path, "meta", MANIFEST_KEY, encode_row(MANIFEST_KEY, [FORMAT_VERSION, content]))
    with opened(path) as index:
        n_documents = len(index)
        with pytest.raises(CorruptIndexError, match="end of its numbers"):
            index.upsert([Document("new", "글")], ONE)
        assert len(index) == n_documents
    repair_index(path, tmp_path / "repaired.db")
    with opened(tmp_path / "repaired.db") as repaired:
        repaired.upsert([Document("new", "글")], ONE)
        assert len(repaired) == n_documents + 1
        assert repaired.check().sound


def test_a_head_under_a_number_beyond_all_others_stops_no_repair(tmp_path, originals):
    path = shutil.copyfile(originals[0], tmp_path / "index.db")
    connection = sqlite3.connect(path)
    key, frame = connection.execute("SELECT key, value FROM segments").fetchone()
    connection.close()
    arrays = decode_arrays(Kind.HEAD, key, frame, HEAD_DTYPES)
    put(path, "segments", "99999999999", encode_arrays(Kind.HEAD, "99999999999", arrays))
    put(path, "meta", MANIFEST_KEY, "nothing")
    repair_index(path, tmp_path / "repaired.db")
    assert check_file(tmp_path / "repaired.db").sound


@pytest.mark.parametrize("bits", [b"\1", bytes(9), bytes([255] * 1000)])
def test_a_head_that_says_of_too_few_or_too_many_texts_whether_they_were_cut_is_refused(tmp_path, originals, bits):
    path = shutil.copyfile(originals[0], tmp_path / "index.db")
    connection = sqlite3.connect(path)
    key, frame = connection.execute("SELECT key, value FROM segments ORDER BY length(value) DESC").fetchone()
    connection.close()
    arrays = decode_arrays(Kind.HEAD, key, frame, HEAD_DTYPES)
    assert arrays[-1].any()
    put(path, "segments", key, encode_arrays(Kind.HEAD, key, [*arrays[:-1], np.frombuffer(bits, np.uint8)]))
    with pytest.raises(CorruptIndexError, match="head of segment"):
        SqliteIndex(path, read_only=True)
    assert not check_file(path).sound
    repair_index(path, tmp_path / "repaired.db")
    with opened(originals[0]) as index, opened(tmp_path / "repaired.db") as repaired:
        assert repaired.stats().n_cut == index.stats().n_cut > 0


def test_brackets_without_end_stop_no_repair(tmp_path, originals):
    path = shutil.copyfile(originals[0], tmp_path / "index.db")
    connection = sqlite3.connect(path)
    docno, n_documents = connection.execute("SELECT max(key), count(*) FROM documents").fetchone()
    connection.close()
    tail = b',"a","b",' + b"[" * 1_000_000
    put(path, "documents", docno, b'["%08x"' % checksum(b"%016d" % docno, tail) + tail)
    report = repair_index(path, tmp_path / "repaired.db")
    assert report.n_documents == n_documents - 1
    assert len(report.lost) == 1
