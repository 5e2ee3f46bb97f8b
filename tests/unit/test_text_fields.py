"""Metadata that are encoded with a text: put around it, remembered by the index, and shown as what is searched."""

from __future__ import annotations

import pytest

from pixie_retrievers import (
    Document,
    IncompatibleIndexError,
    InvalidParameterError,
    InvalidTextError,
    SparseRetriever,
    copy_index,
)
from pixie_retrievers.text_fields import TextFields, split_fingerprint

TITLE = TextFields.of(("title", "text"))


@pytest.mark.parametrize(
    ("fields", "metadata", "text"),
    [
        (("title", "text"), {"title": "달"}, "달\n본문"),
        (("title", "text"), {"title": None}, "본문"),
        (("title", "text"), {}, "본문"),
        (("text", "tags"), {"tags": ["가", 1, None, "나"]}, "본문\n가, 1, 나"),
        (["a", "b", "text", "c"], {"b": 3, "c": True}, "3\n본문\ntrue"),
        ("{book.title} ({year})\n---\n{text}", {"book": {"title": "달"}, "year": 2020}, "달 (2020)\n---\n본문"),
        ("{book.title} ({year})\n---\n{text}", {}, "---\n본문"),
        ("제목: {title}\n{text}", {"title": "{text} {x}"}, "제목: {text} {x}\n본문"),
    ],
)
def test_fields_stand_around_the_text_once(fields, metadata, text):
    made = TextFields.of(fields)
    whole = made.whole(Document("a", "본문", metadata))
    assert whole.text == text
    assert made.whole(whole) is whole  # as when a result is added again
    assert made.own_text(whole) == "본문"
    assert split_fingerprint(made.marked("words")) == ("words", made)


@pytest.mark.parametrize("fields", ["", "{text}", "{title}", ("text",), ("title",), (), ("text", "text"), ["title", 5]])
def test_fields_without_the_text_or_with_nothing_else_are_refused(fields):
    with pytest.raises(InvalidParameterError, match="text_fields"):
        TextFields.of(fields)


@pytest.mark.parametrize("fingerprint", ["", "words", 'a text_fields="{no}"', "a text_fields=[", "a text_fields=5"])
def test_a_fingerprint_without_fields_is_an_encoders(fingerprint):
    assert split_fingerprint(fingerprint) == (fingerprint, None)


def test_what_is_searched_is_what_is_shown(encoder, tmp_path):
    path = tmp_path / "index.db"
    with SparseRetriever.open(path, encoder=encoder, text_fields=("title", "text")) as retriever:
        retriever.add([Document("moon", "지구를 돈다.", {"title": "달"}), Document("rice", "논에서 자란다.", {})])
        assert retriever.text_fields == "{title}\n{text}"
    with SparseRetriever.open(path, encoder=encoder) as retriever:  # remembered
        retriever.add_stream([Document("rocket", "위성을 쏜다.", {"title": "로켓"})])
        (found,) = retriever.search("로켓")
        assert found.document.text == "로켓\n위성을 쏜다."
        assert "로켓" in [one.surface for one in found.explanation.contributions]
        assert [token.surface for token in retriever.explain_document("moon").tokens if token.spans][:1]
        assert "로켓" in found._repr_html_()
        retriever.add([found.document])
        assert retriever.get(["rocket"]) == [found.document]
    with SparseRetriever.open(path, encoder=encoder, text_fields="{title}\n{text}"):
        pass
    for fields in ("{name}: {text}", ("text", "title")):
        with pytest.raises(IncompatibleIndexError, match="leave text_fields out"):
            SparseRetriever.open(path, encoder=encoder, text_fields=fields)
    with SparseRetriever.from_index(path) as retriever:  # with the model that the index names
        assert len(retriever.search("달")) == 1


def test_a_title_that_changes_is_encoded_and_other_metadata_is_not(encoder, monkeypatch):
    encoded, inner = [], encoder.encode_documents
    monkeypatch.setattr(encoder, "encode_documents", lambda texts, **_: (encoded.extend(texts), inner(texts))[1])
    with SparseRetriever.open(encoder=encoder, text_fields=("title", "text")) as retriever:
        retriever.add([Document("a", "지구를 돈다.", {"title": "달"})])
        retriever.add([Document("a", "지구를 돈다.", {"title": "달", "n": 1})])
        retriever.update_metadata({"n": 2}, ids=["a"])
        assert encoded == ["달\n지구를 돈다."]
        retriever.update_metadata({"title": "위성"}, ids=["a"])
        assert encoded[1:] == ["위성\n지구를 돈다."]
        assert retriever.get(["a"]) == [Document("a", "위성\n지구를 돈다.", {"title": "위성", "n": 2})]
        assert retriever.search("달") == []
        retriever.sync([Document("a", "지구를 돈다.", {"title": "위성", "n": 2})])
        assert len(encoded) == 2


def test_an_index_is_copied_into_one_that_encodes_the_same(encoder):
    with SparseRetriever.open(encoder=encoder, text_fields=("title", "text")) as source:
        source.add([Document("a", "지구를 돈다.", {"title": "달"})])
        with SparseRetriever.open(encoder=encoder, text_fields=("title", "text")) as target:
            assert copy_index(source.index, target.index).differences == ()
        with SparseRetriever.open(encoder=encoder) as target, pytest.raises(IncompatibleIndexError):
            copy_index(source.index, target.index)


@pytest.mark.parametrize("fields", [None, ("title", "text")])
def test_a_text_that_is_not_a_string_is_refused_by_what_explains_it(encoder, fields):
    with SparseRetriever.open(encoder=encoder, text_fields=fields) as retriever:
        retriever.add([Document("a", "위성", {"title": "달"})])
        for id in ("a", "b"):
            with pytest.raises(InvalidTextError, match=f"document '{id}': its text is of type NoneType"):
                retriever.explain_many("위성", [Document(id, None)])
