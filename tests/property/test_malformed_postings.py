"""Arrays that lie, under checksums that hold: refused before any kernel sees them."""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from figures import BOUNDS, POSTINGS, holds
from processes import script
from vectors import random_vectors

from pixie_retrievers import CorruptIndexError
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, encode_arrays
from pixie_retrievers.index.sqlite.segment import (
    HEAD_DTYPES,
    block_key,
    build_segment,
    decode_block,
    decode_head,
    encode_blocks,
    encode_head,
    segment_key,
)
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES, decode_vectors, encode_vectors, round_vectors
from pixie_retrievers.types import MAX_WEIGHT

N, V = 300, 200
EXTREMES = {
    "i": [-1, 0, 1, 2**31 - 1, -(2**31), 65535, 65536],
    "u": [0, 1, 255, 254],
    "f": [np.nan, np.inf, -np.inf, -1.0, 0.0, -0.0, 1e-45],
}


def segment(weights):
    docnos = np.arange(100, 100 + N)
    docnos[N // 3 :] += 7  # three runs
    docnos[N // 2 :] += 1
    vectors = random_vectors(N, vocabulary_size=V).with_literal([range(0, V, 3)] * N)
    vectors = replace(vectors, cut=np.arange(N) % 5 == 0)
    return build_segment(round_vectors(vectors, weights), docnos, V)


def mutated(rng, arrays):
    """The arrays with one of them changed: a value, two values exchanged, an order, or a length."""
    arrays = [array.copy() for array in arrays]
    which = int(rng.choice([i for i, array in enumerate(arrays) if len(array) > 1]))
    array = arrays[which]
    place, other = int(rng.integers(len(array))), int(rng.integers(len(array)))
    action = rng.choice(["extreme", "random", "exchange", "longer", "shorter", "reverse", "equal"])
    if action == "extreme":
        value = rng.choice(EXTREMES[array.dtype.kind])
        array[place] = np.array(value).astype(array.dtype)
    elif action == "random":
        array[place] = np.frombuffer(rng.bytes(array.dtype.itemsize), array.dtype)[0]
    elif action == "exchange":
        array[[place, other]] = array[[other, place]]
    elif action == "longer":
        arrays[which] = np.append(array, array[place])
    elif action == "shorter":
        arrays[which] = np.delete(array, place)
    elif action == "reverse":
        arrays[which] = array[::-1].copy()
    else:
        array[place] = array[other]
    return arrays


def head_of(arrays, **said):
    frame = encode_arrays(Kind.HEAD, segment_key(1), arrays)
    return decode_head(1, frame, n_documents=N, n_postings=said.pop("n_postings"), vocabulary_size=V)


def holds_together(head):
    """What kernels rely on, written without numpy's subtractions."""
    docnos, terms, starts, blocks = (array.tolist() for array in (head.docnos, head.term_ids, head.starts, head.blocks))
    ascending = all(all(a < b for a, b in itertools.pairwise(row)) for row in (docnos, terms, starts, blocks))
    return (
        ascending
        and len(docnos) == len(head.cut) == N
        and terms[0] >= 0
        and terms[-1] < V
        and (blocks[0], blocks[-1]) == (0, len(terms))
        and all(b - a <= N for a, b in itertools.pairwise(starts))
        and all(0 < weight < np.inf for weight in head.max_weights.tolist())
        and all(0 <= scale <= MAX_WEIGHT for scale in head.scales.tolist())
    )


@holds(POSTINGS)
@pytest.mark.parametrize("weights", ["float32", "uint8"])
def test_a_head_that_contradicts_itself_is_refused(weights):
    rng = np.random.default_rng(1)
    sound = segment(weights)
    arrays = decode_arrays(Kind.HEAD, segment_key(1), encode_head(1, sound.head), HEAD_DTYPES)
    n_refused = 0
    with np.errstate(all="ignore"):
        for _ in range(POSTINGS.n // 4):
            changed = mutated(rng, arrays)
            try:
                head = head_of(changed, n_postings=sound.head.n_postings)
            except CorruptIndexError:
                n_refused += 1
            else:
                assert holds_together(head), changed
    assert n_refused > POSTINGS.n // 10


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("term_ids", [0, 2**31 - 1, -2, 5]),  # every difference overflows into a positive one
        ("blocks", [0, 2**31 - 1, -2, 4]),
        ("run_starts", [0, 2**63 - 1, -2, 300]),
        ("run_starts", [0, 1, 2, 2**63 - 1]),
        ("run_lengths", [2**31 - 1, 2**31 - 1, 2, 4]),
        ("run_lengths", [1, 2, 0, 1]),
        ("counts", [2**31 - 1, 1, 1, 1]),
        ("cut", [5, 0]),
    ],
)
def test_numbers_that_overflow_when_subtracted_are_refused(name, values):
    arrays = {
        "run_starts": np.arange(0, 8, 2, dtype=np.int64),
        "run_lengths": np.ones(4, np.int32),
        "term_ids": np.arange(4, dtype=np.int32),
        "counts": np.ones(4, np.int32),
        "max_weights": np.ones(4, np.float32),
        "scales": np.zeros(0, np.float32),
        "blocks": np.array([0, 4], np.int32),
        "cut": np.array([5], np.uint8),
    }
    frame = encode_arrays(Kind.HEAD, segment_key(1), list(arrays.values()))
    decode_head(1, frame, n_documents=4, n_postings=4, vocabulary_size=10)
    arrays[name] = np.array(values, arrays[name].dtype)
    n_postings = int(arrays["counts"].sum(dtype=np.int64))
    frame = encode_arrays(Kind.HEAD, segment_key(1), list(arrays.values()))
    with pytest.raises(CorruptIndexError):
        decode_head(1, frame, n_documents=4, n_postings=n_postings, vocabulary_size=10)


@holds(POSTINGS)
@pytest.mark.parametrize(
    ("weights", "dtypes"), [("float32", "u2 f4 u1"), ("float16", "u2 f2 u1"), ("uint8", "u2 u1 u1")]
)
def test_a_block_that_contradicts_its_head_is_refused(weights, dtypes):
    rng = np.random.default_rng(2)
    sound = segment(weights)
    frames = dict(encode_blocks(1, sound))
    arrays = decode_arrays(Kind.BLOCK, block_key(1, 0), frames[block_key(1, 0)], dtypes)
    n_refused = 0
    with np.errstate(all="ignore"):
        for _ in range(POSTINGS.n // 4):
            changed = mutated(rng, arrays)
            frame = encode_arrays(Kind.BLOCK, block_key(1, 0), changed)
            try:
                ordinals, values, literal = decode_block(1, 0, frame, sound.head, weights)
            except CorruptIndexError:
                n_refused += 1
                continue
            assert len(ordinals) == len(values) == len(literal)
            assert ((values > 0) & (values < np.inf)).all()
            for start, end in zip(sound.head.starts, sound.head.starts[1:], strict=False):
                row = ordinals[start:end].astype(int)
                assert (np.diff(row) > 0).all()
                assert row[0] >= 0
                assert row[-1] < N
    assert n_refused > POSTINGS.n // 40


def with_checksum(docno, body):
    """A vector's row of any content, under a checksum that holds."""
    return struct.pack("<I", zlib.crc32(body, zlib.crc32(b"vector %d" % docno))) + body


def mutated_row(rng, row, weights, term_dtype):
    """A vector's row with one of its arrays changed, or one of its bytes, or its length."""
    start = 12 if weights == "uint8" else 8
    (n,) = struct.unpack_from("<I", row, 4)
    n &= 2**31 - 1  # the highest bit says that the text was cut
    dtypes = [STORED_DTYPES[weights], np.dtype(term_dtype), np.dtype("u1")]
    arrays, offset = [np.frombuffer(row[8:start], "<f4")], start
    for dtype, length in zip(dtypes, (n, n, (n + 7) // 8), strict=True):
        arrays.append(np.frombuffer(row, dtype, length, offset))
        offset += arrays[-1].nbytes
    action = rng.choice(["array", "byte", "cut", "count"])
    if action == "array" and n > 1:
        return row[4:8] + b"".join(array.tobytes() for array in mutated(rng, arrays))
    body = bytearray(row[4:])
    if action == "byte":
        body[int(rng.integers(len(body)))] ^= int(rng.integers(1, 256))
    elif action == "cut":
        del body[int(rng.integers(len(body))) :]
    else:
        body[:4] = struct.pack("<I", int(rng.choice([0, 1, n + 1, n + 8, 2**31, 2**32 - 1])))
    return bytes(body)


@holds(POSTINGS)
@pytest.mark.parametrize("vocabulary_size", [V, 100_000])
@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_a_vector_that_breaks_its_contract_is_refused(weights, vocabulary_size):
    rng = np.random.default_rng(4)
    term_dtype = "<u2" if vocabulary_size <= 1 << 16 else "<i4"
    vectors = round_vectors(random_vectors(20, vocabulary_size=vocabulary_size), weights)
    rows = dict(encode_vectors(vectors, range(20), vocabulary_size))
    n_refused = 0
    with np.errstate(all="ignore"):
        for number in range(POSTINGS.n // 4):
            docno = number % 20
            body = mutated_row(rng, rows[docno], weights, term_dtype)
            changed = rows | {docno: with_checksum(docno, body)}
            try:
                found = decode_vectors(range(20), changed, weights, vocabulary_size)
            except CorruptIndexError:
                n_refused += 1
                continue
            found.to_sparse(vocabulary_size)  # holds the vectors to the contract of what an encoder gives
            build_segment(found, np.arange(20), vocabulary_size)
    assert n_refused > POSTINGS.n // 20


@pytest.mark.parametrize("weights", STORED_DTYPES)
@pytest.mark.parametrize("damage", ["missing", "number", "text", "empty", "short", "another's", "flipped"])
def test_a_vector_that_is_not_there_or_does_not_verify_is_named(weights, damage):
    rows = dict(encode_vectors(round_vectors(random_vectors(3), weights), [5, 6, 7], V))
    row = rows[6]
    flipped = row[:-1] + bytes([row[-1] ^ 1])
    rows[6] = {
        "missing": None, "number": 7, "text": "text", "empty": b"", "short": row[:7], "another's": rows[5],
        "flipped": flipped,
    }[damage]  # fmt: skip
    assert len(decode_vectors([5, 7], rows, weights, V)) == 2
    with pytest.raises(CorruptIndexError, match="document number 6"):
        decode_vectors([5, 6, 7], rows, weights, V)


BOUNDS_SCRIPT = """
import json, sqlite3, sys
import numpy as np
import histories
sys.path.insert(0, sys.argv[3])
import test_malformed_postings as fuzz
from pixie_retrievers import CorruptIndexError, SqliteIndex
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, encode_arrays

folder, n = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(3)
batch = histories.queries(1, 10)
TYPES = {
    "segments": (Kind.HEAD, fuzz.HEAD_DTYPES),
    "postings": (Kind.BLOCK, "u2 f4 u1"),
    "tombstones": (Kind.TOMBSTONES, "u1"),
}
path = folder + "/index.db"
histories.build(path, n_steps=60)
with histories.opened(path) as index:
    index.delete([document.id for document in index.get(histories.IDS) if document][:3])
connection = sqlite3.connect(path, isolation_level=None)
rows = [
    (table, key, frame)
    for table in TYPES
    for key, frame in connection.execute(f'SELECT key, value FROM "{table}"')
]
rows += [("vectors", key, row) for key, row in connection.execute("SELECT key, value FROM vectors LIMIT 20")]
n_refused = n_answers = 0
problems = []
np.seterr(all="ignore")
for number in range(n):
    table, key, frame = rows[number % len(rows)]
    if table == "vectors":
        changed = fuzz.with_checksum(key, fuzz.mutated_row(rng, frame, "float32", "<u2"))
    else:
        kind, dtypes = TYPES[table]
        changed = encode_arrays(kind, key, fuzz.mutated(rng, decode_arrays(kind, key, frame, dtypes)))
    connection.execute(f'UPDATE "{table}" SET value = ? WHERE key = ?', (changed, key))
    try:
        with histories.opened(path) as index:
            index.search(batch, 9)
            index.search(batch, 9, filter={"even": True})
            index.match(batch[0], histories.IDS)
            histories.vectors_found(index, histories.IDS)
            n_answers += 1
        with histories.opened(path, read_only=True) as index:
            index.check()
    except CorruptIndexError:
        n_refused += 1
    except Exception as error:
        problems.append(f"{table} {key}: {type(error).__name__}: {error}")
    connection.execute(f'UPDATE "{table}" SET value = ? WHERE key = ?', (frame, key))
connection.close()
with histories.opened(path) as index:
    sound = index.check().sound
    histories.apply(index, histories.Step("compact"))
print(json.dumps({"refused": n_refused, "answers": n_answers, "problems": problems[:10], "sound": sound}))
"""


@holds(BOUNDS)
@pytest.mark.new_process
def test_kernels_stay_inside_their_arrays_whatever_the_file_says(tmp_path):
    found = script(
        BOUNDS_SCRIPT,
        str(tmp_path),
        str(BOUNDS.n),
        __file__.rpartition("/")[0],
        NUMBA_BOUNDSCHECK="1",
        NUMBA_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert found["problems"] == []
    assert found["sound"]
    assert found["refused"] > 0
