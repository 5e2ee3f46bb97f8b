"""Which field is the text, the id and the title."""

from __future__ import annotations

import pytest

from pixie_retrievers import InvalidDocumentError, InvalidTextError
from pixie_retrievers.files.fields import Fields, Row, composed


def of(row, fields=None, **options):
    return (fields or Fields()).of(row, "a:1", **options)


@pytest.mark.parametrize(
    "name", ["text", "content", "contents", "page_content", "body", "본문", "내용", "Text", " BODY "]
)
def test_a_text_stands_under_the_names_that_people_use(name):
    assert of({name: "글", "other": 1}) == Row(None, None, "글", {"other": 1})


def test_the_first_of_the_names_counts_and_the_others_are_metadata():
    row = {"content": "b", "ID": "x", "text": "a", "_id": "y", "Title": " 제목 "}
    assert of(row) == Row("y", "제목", "a", {"content": "b", "ID": "x", "Title": " 제목 "})


def test_a_name_that_is_given_is_the_only_one():
    named = Fields(text="body", id="key", title="headline")
    assert of({"body": "b", "key": "k", "text": "t", "title": "u"}, named) == Row(
        "k", None, "b", {"text": "t", "title": "u"}
    )
    with pytest.raises(
        InvalidDocumentError, match=r"a:1: there is no field 'body'; it has 'text', 'key'.*--text-field"
    ):
        of({"text": "t", "key": "k"}, named)
    with pytest.raises(InvalidDocumentError, match="there is no field 'key', which --id-field names"):
        of({"body": "b"}, named)


@pytest.mark.parametrize(
    ("id", "text"), [("a", "a"), (7, "7"), (7.0, "7"), (-2.0, "-2"), (2**70, str(2**70)), ("7.0", "7.0")]
)
def test_whole_numbers_are_ids_however_they_are_written(id, text):
    assert of({"id": id, "text": "t"}).id == text


@pytest.mark.parametrize(
    ("id", "kind"),
    [(7.5, "a fraction"), (1e300, "a number"), (True, "true or false"), ([1], "a list"), ({}, "an object")],
)
def test_what_is_not_an_id_is_refused_by_its_kind(id, kind):
    with pytest.raises(InvalidDocumentError, match=f"a:1: the id is {kind}, not a string or a whole number"):
        of({"id": id, "text": "t"})


def test_a_cell_without_a_value_is_no_field():
    row = {"id": "", "text": "t", "title": "", "n": None, "m": 0, "o": ""}
    assert of(row, is_table=True) == Row(None, None, "t", {"m": 0})
    assert of({"text": None, "n": 1}, is_table=True).text == ""
    assert of({"text": 2024}, is_table=True).text == "2024"
    assert of({"text": 1.5, "id": 1.5}, is_table=True) == Row("1.5", None, "1.5", {})
    with pytest.raises(InvalidTextError, match="null, not a string"):
        of({"text": None})


def test_names_are_composed():
    assert composed("\u1112\u1172\u1100\u1161.md") == "휴가.md"
