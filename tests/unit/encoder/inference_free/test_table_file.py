"""A table as bytes, and back: nothing that a file says is believed."""

from __future__ import annotations

import contextlib
import json
import random
import struct

import numpy as np
import pytest
from safetensors.numpy import load, save

from pixie_retrievers import CorruptIndexError, IncompatibleIndexError, QueryTable, StorageError

TEXTS = ["지구를 도는 위성", "🍎", "ABC-1234", ""]


@pytest.fixture(scope="module")
def content(make_table):
    return make_table({700: {800: 0.5, 801: 0.25}}, document_prompt="문서: ", max_active_terms=7).to_bytes()


def header(content):
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length])["__metadata__"]


def changed(content, **said):
    told = json.loads(header(content)["pixie"])
    return save(load(content), {"pixie": json.dumps(told | said)})


def test_what_was_written_is_what_is_read(make_table, content):
    table = make_table({700: {800: 0.5, 801: 0.25}}, document_prompt="문서: ", max_active_terms=7)
    again = QueryTable.from_bytes(content)
    assert again.encode(TEXTS) == table.encode(TEXTS)
    assert again.fingerprint == table.fingerprint
    assert again.tokenizer == table.tokenizer
    for name in ("origin", "max_length", "special_is_text", "document_prompt", "min_weight", "max_active_terms"):
        assert getattr(again, name) == getattr(table, name)


def test_it_is_saved_whole_and_loaded(tmp_path, table):
    path = tmp_path / "table.safetensors"
    path.write_bytes(b"something else")
    table.save(path)
    assert QueryTable.load(path).encode(TEXTS) == table.encode(TEXTS)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(StorageError):
        table.save(tmp_path / "nowhere" / "table")
    with pytest.raises(StorageError):
        QueryTable.load(tmp_path / "nowhere")


def test_a_newer_format_is_refused_by_name(content):
    with pytest.raises(IncompatibleIndexError, match="upgrade"):
        QueryTable.from_bytes(changed(content, format=2))


@pytest.mark.parametrize(
    "wrong", [b"", b"PK", b"\xff" * 64, struct.pack("<Q", 1 << 62), b"{}", struct.pack("<Q", 2) + b"{}"]
)
def test_what_is_not_a_table_is_refused(wrong):
    with pytest.raises(CorruptIndexError, match="derive it again"):
        QueryTable.from_bytes(wrong)


@pytest.mark.parametrize(
    "said",
    [
        {"max_length": "many"},
        {"max_length": 0},
        {"origin": {}},
        {"origin": 5},
        {"spelling": {"word_start": 3, "new": 1}},
        {"tokenizer": {"special_ids": ["x"], "side": "right"}},
        {"tokenizer": {"special_ids": [], "side": "middle"}},
        {"tokenizer": []},
    ],
)
def test_a_table_that_says_what_cannot_be_is_refused(content, said):
    with pytest.raises(CorruptIndexError, match="derive it again"):
        QueryTable.from_bytes(changed(content, **said))


@pytest.mark.parametrize("name", ["weights", "tokenizer", "expansion_starts", "expansion_terms", "expansion_weights"])
def test_arrays_that_cannot_be_are_refused(content, name):
    arrays = load(content)
    for wrong in (arrays[name][:-1], arrays[name].astype(np.float64), np.zeros_like(arrays[name]) - 1):
        told = {"pixie": header(content)["pixie"]}
        if np.array_equal(wrong, arrays[name]):
            continue
        with pytest.raises(CorruptIndexError):
            QueryTable.from_bytes(save(arrays | {name: wrong}, told))
    with pytest.raises(CorruptIndexError):
        QueryTable.from_bytes(save({key: array for key, array in arrays.items() if key != name}, told))


def test_bytes_that_changed_raise_nothing_but_the_package_s_error(content):
    rng = random.Random(5)
    for _ in range(60):
        broken = bytearray(content)
        for _ in range(rng.randint(1, 20)):
            broken[rng.randrange(min(len(broken), 3000))] = rng.randrange(256)
        with contextlib.suppress(CorruptIndexError, IncompatibleIndexError):
            QueryTable.from_bytes(bytes(broken)).encode(TEXTS)
