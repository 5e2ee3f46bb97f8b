"""The manifest: what it says comes back, and nothing else passes for it."""

from __future__ import annotations

import pytest

from pixie_retrievers import CorruptIndexError, IncompatibleIndexError
from pixie_retrievers.index.sqlite.codec import FORMAT_VERSION, decode_row, encode_row
from pixie_retrievers.index.sqlite.manifest import IDENTITY_KEY, MANIFEST_KEY, Manifest, SegmentEntry

MANIFEST = Manifest(
    50_000,
    "model-1",
    "float16",
    identity=77,
    generation=17,
    next_docno=4200,
    next_segment=9,
    segments=(SegmentEntry(6, 4000, 12, 480_000, 101, 103), SegmentEntry(8, 200, 0, 24_000, 102)),
)


def test_a_manifest_comes_back_as_it_was():
    assert Manifest.decode(MANIFEST.encode().encode()) == MANIFEST
    assert MANIFEST.n_live == 4188


def test_a_new_file_begins_with_a_manifest_and_with_what_never_changes():
    rows = MANIFEST.first_rows()
    assert rows.keys() == {MANIFEST_KEY, IDENTITY_KEY}
    (identity,) = decode_row(IDENTITY_KEY, rows[IDENTITY_KEY].encode(), dict)
    assert identity == {"vocabulary_size": 50_000, "fingerprint": "model-1", "weights": "float16", "identity": 77}


def test_a_manifest_of_a_newer_format_is_refused_and_said_to_be_newer():
    row = encode_row(MANIFEST_KEY, [FORMAT_VERSION + 1, {"anything": 1}]).encode()
    with pytest.raises(IncompatibleIndexError, match=f"format {FORMAT_VERSION + 1}"):
        Manifest.decode(row)


@pytest.mark.parametrize(
    "change",
    [
        {"vocabulary_size": True},
        {"vocabulary_size": 0},
        {"vocabulary_size": (1 << 20) + 1},
        {"fingerprint": None},
        {"weights": "float64"},
        {"weights": []},
        {"next_docno": -1},
        {"next_docno": 1.0},
        {"generation": "1"},
        {"segments": [[0, 0, 0, 0, 1, 0]]},
        {"segments": [[0, 65537, 0, 0, 1, 0]]},
        {"segments": [[0, 1, 2, 0, 1, 0]]},
        {"segments": [[9, 1, 0, 1, 1, 0]]},
        {"segments": [[0, 1, 0, 1, 1, 0]] * 2},
        {"attachments": [["rules", 0]]},
        {"attachments": [[1, 1]]},
        {"attachments": [["rules"]]},
        {"attachments": [["rules", 1]] * 2},
        {"attachments": 3},
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused(change):
    content = {"vocabulary_size": 50, "fingerprint": "", "weights": "uint8", "next_segment": 9, "segments": []}
    Manifest.decode(encode_row(MANIFEST_KEY, [FORMAT_VERSION, content]).encode())
    with pytest.raises(CorruptIndexError, match="manifest"):
        Manifest.decode(encode_row(MANIFEST_KEY, [FORMAT_VERSION, content | change]).encode())


@pytest.mark.parametrize("content", [{}, [], None, 5, {"segments": 3}, {"segments": [[1]]}, {"segments": [], "new": 1}])
def test_a_manifest_that_does_not_hold_what_it_should_is_refused(content):
    with pytest.raises(CorruptIndexError, match="manifest"):
        Manifest.decode(encode_row(MANIFEST_KEY, [FORMAT_VERSION, content]).encode())
    with pytest.raises(CorruptIndexError, match="manifest"):
        Manifest.decode(None)
