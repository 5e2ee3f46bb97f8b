"""What makes a document storable, and how the one that is not is named among many."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pixie_retrievers import Document, DuplicateIdError, InvalidDocumentError, InvalidTextError
from pixie_retrievers.index.documents import check_documents, content_id, storable, with_ids


def chunks(n, **bad):
    return [{"source": "규정.md", "page": i, **(bad if i == 16 else {})} for i in range(n)]


def test_of_many_texts_without_ids_the_bad_one_is_named_by_place_metadata_and_key_path():
    with pytest.raises(InvalidDocumentError) as caught:
        with_ids(["글"] * 40, chunks(40, parts=[1, {"when": object()}]))
    message = str(caught.value)
    assert message.startswith(
        "document 17, counted from 1 (metadata {'source': '규정.md', 'page': 16, 'parts': <list>}): "
    )
    assert "metadata['parts'][1]['when'] is of type object" in message


def test_a_text_is_named_and_never_quoted():
    with pytest.raises(InvalidTextError, match=r"^document 2, counted from 1: its text holds a lone surrogate"):
        with_ids(["글", "SECRET \ud800"])
    with pytest.raises(
        InvalidTextError, match=r"^document 3, counted from 1 \(id 'c', metadata \{'n': 2\}\)"
    ) as caught:
        storable([Document("a", "x"), Document("b", "x"), Document("c", "SECRET\udfff", {"n": 2})])
    assert "SECRET" not in str(caught.value)


def test_what_is_shown_of_metadata_is_short():
    metadata = {"a": "x" * 1000, "_program": {"b": 1}, "c": 10**400, "d": 1, "e": 1, "z": object()}
    with pytest.raises(InvalidDocumentError) as caught:
        storable([Document("i" * 500, "글", metadata)])
    shown = str(caught.value).split("): metadata")[0]
    assert len(shown) < 200
    assert shown.endswith("'c': <int>, 'd': 1, ...}")


def test_documents_of_a_stream_are_counted_from_its_beginning():
    with pytest.raises(InvalidDocumentError, match=r"^document 1002, counted from 1"):
        check_documents([Document("a", "x"), Document("", "x")], start=1000)
    with pytest.raises(InvalidDocumentError, match=r"^item 2, counted from 1, is of type str"):
        storable([Document("a", "x"), "b"])
    with pytest.raises(DuplicateIdError, match=r"^document 2, counted from 1 \(id 'a'\): its id stands twice"):
        storable([Document("a", "x"), Document("a", "y")])


def test_metadata_is_stored_in_its_json_form_and_the_callers_stays():
    metadata = {"when": dt.date(2024, 5, 1), "n": np.int64(3), "tags": (np.bool_(True),)}
    (document,) = storable([Document("a", "x", metadata)])
    assert document.metadata == {"when": "2024-05-01", "n": 3, "tags": [True]}
    assert metadata["when"] == dt.date(2024, 5, 1)


def test_the_same_content_has_the_same_id_in_either_form():
    assert content_id("x", {"when": dt.date(2024, 5, 1)}) == content_id("x", {"when": "2024-05-01"})
    first, second, third = with_ids(["x", "x", "x"], [{"n": np.int64(1)}, {"n": 1}, {"n": 1.5}])
    assert second.id == f"{first.id}-2"
    assert third.id != first.id
