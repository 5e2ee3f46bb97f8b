"""What `pixie index` makes of files and folders, and what it says about the ones it cannot read."""

from __future__ import annotations

import gzip
import json
import os
import unicodedata

import pytest

from pixie_retrievers import DuplicateIdError, InvalidDocumentError, InvalidParameterError, InvalidTextError, PixieError
from pixie_retrievers.cli import inputs
from pixie_retrievers.cli.inputs import Split
from pixie_retrievers.files.fields import Fields
from pixie_retrievers.types import Document


def read_documents(*args, **options):
    found = inputs.read_documents(*args, **options)
    documents = list(found)
    assert len(found) == len(documents)
    assert list(found) == documents  # each pass reads the files anew
    return documents


@pytest.fixture
def file(tmp_path):
    """Write a file of that name, and return its path."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows(*values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


# JSONL


def test_a_line_gives_id_text_and_metadata(file):
    path = file("a.jsonl", rows({"id": "위성-1", "text": "정찰 위성", "year": 2024, "tags": ["국방", None]}))
    assert read_documents([path]) == [Document("위성-1", "정찰 위성", {"year": 2024, "tags": ["국방", None]})]


def test_a_title_stands_in_front_of_the_text_and_stays_in_the_metadata(file):
    path = file("a.jsonl", rows({"id": "1", "title": " 제목 ", "text": "본문"}))
    assert read_documents([path]) == [Document("1", "제목\n본문", {"title": " 제목 "})]


@pytest.mark.parametrize("title", ["", "  ", None, 3])
def test_what_is_not_a_title_stays_out_of_the_text(file, title):
    path = file("a.jsonl", rows({"id": "1", "title": title, "text": "본문"}))
    assert read_documents([path])[0].text == "본문"


def test_an_id_stands_under_id_or_else_under_underscore_id(file):
    path = file(
        "a.jsonl", rows({"_id": "a", "text": "x"}, {"id": 7, "text": "y"}, {"id": "b", "_id": "c", "text": "z"})
    )
    documents = read_documents([path])
    assert [document.id for document in documents] == ["a", "7", "b"]
    assert documents[2].metadata == {"_id": "c"}


def test_without_an_id_the_content_is_the_id(file):
    first = read_documents([file("a.jsonl", rows({"text": "글"}, {"text": "다른 글"}, {"text": "글", "n": 1}))])
    again = read_documents([file("b.jsonl", rows({"text": "글", "n": 1}, {"id": None, "text": "글"}))])
    ids = [document.id for document in first]
    assert len(set(ids)) == 3
    assert [document.id for document in again] == [ids[2], ids[0]]


def test_equal_lines_without_ids_are_all_kept(file):
    documents = read_documents([file("a.jsonl", rows({"text": "글"}, {"text": "글"}, {"text": "글"}))])
    assert len({document.id for document in documents}) == 3


def test_other_field_names_can_be_given(file):
    path = file("a.jsonl", rows({"key": "k", "body": "본문", "headline": "제목", "id": 5}))
    (document,) = read_documents([path], fields=Fields(text="body", id="key", title="headline"))
    assert document == Document("k", "제목\n본문", {"headline": "제목", "title": "제목", "id": 5})


def test_only_a_line_feed_ends_a_line(file):
    path = file("a.jsonl", '{"id": "1", "text": "한\u2028줄\x85이다"}\n')
    assert read_documents([path])[0].text == "한\u2028줄\x85이다"


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_do_no_harm(file):
    path = file("a.ndjson", b'\xef\xbb\xbf{"id": "1", "text": "x"}\r\n\r\n  \r\n{"id": "2", "text": "y"}')
    assert [(document.id, document.text) for document in read_documents([path])] == [("1", "x"), ("2", "y")]


@pytest.mark.parametrize(
    ("line", "error", "reason"),
    [
        ('{"text": "x"', InvalidDocumentError, "not valid JSON"),
        ('{"text": "x"} {"text": "y"}', InvalidDocumentError, "not valid JSON"),
        ('{"text": "x", "n": NaN}', InvalidDocumentError, "NaN is not a JSON number"),
        ('{"text": "x", "n": 1e999}', InvalidDocumentError, "inf"),
        ('{"text": "x", "n": ' + "9" * 5000 + "}", InvalidDocumentError, "not valid JSON"),
        ("[" * 100_000, InvalidDocumentError, "nested too deep"),
        ('["text"]', InvalidDocumentError, "a JSON object, not a list"),
        ('"text"', InvalidDocumentError, "a JSON object, not a string"),
        ('{"txt": "x"}', InvalidDocumentError, "--text-field"),
        ('{"text": null}', InvalidTextError, "null, not a string"),
        ('{"text": 5}', InvalidTextError, "a number, not a string"),
        (r'{"text": "\ud800"}', InvalidTextError, "lone surrogate"),
        ('{"text": "x", "id": true}', InvalidDocumentError, "the id is true or false"),
        ('{"text": "x", "id": [1]}', InvalidDocumentError, "the id is a list"),
        ('{"text": "x", "id": ""}', InvalidDocumentError, "the id is empty"),
        ('{"text": "x", "id": 7.5}', InvalidDocumentError, "the id is a fraction"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(file, line, error, reason):
    good = rows({"id": "1", "text": "good"}).encode()
    path = file("a.jsonl", good + b"\n" + (line if isinstance(line, bytes) else line.encode()) + b"\n" + good)
    with pytest.raises(error) as caught:
        read_documents([path])
    assert str(caught.value).startswith(f"{path}:3: ")
    assert reason in str(caught.value)


def test_an_id_field_that_a_line_lacks_is_named(file):
    path = file("a.jsonl", rows({"key": "1", "text": "x"}, {"id": "2", "text": "y"}))
    with pytest.raises(InvalidDocumentError, match=r"a\.jsonl:2: there is no field 'key'"):
        read_documents([path], fields=Fields(id="key"))


def test_an_id_that_stands_twice_is_named_with_both_places(file):
    first = file("a.jsonl", rows({"id": "1", "text": "x"}))
    second = file("b.jsonl", rows({"id": "2", "text": "y"}, {"id": 1, "text": "z"}))
    with pytest.raises(DuplicateIdError) as caught:
        read_documents([first, second])
    assert f"{second}:2" in str(caught.value)
    assert f"{first}:1" in str(caught.value)


# Text files


def test_a_text_file_named_on_its_own_is_one_document_a_paragraph(file):
    path = file("글.txt", "첫 문단\n둘째 줄\n\n \t\n\n둘째 문단\n")
    assert read_documents([path]) == [
        Document("글.txt#1", "첫 문단\n둘째 줄", {"source": "글.txt", "paragraph": 1}),
        Document("글.txt#2", "둘째 문단", {"source": "글.txt", "paragraph": 2}),
    ]


def test_a_markdown_file_is_text(file):
    path = file("notes.MD", "# 제목\n\n본문")
    assert [document.text for document in read_documents([path])] == ["# 제목", "본문"]


def test_a_text_file_can_be_one_document(file):
    path = file("a.txt", "\n첫 문단\n\n둘째 문단\n")
    assert read_documents([path], split=Split.file) == [Document("a.txt", "첫 문단\n\n둘째 문단", {"source": "a.txt"})]


def test_a_text_file_of_windows_reads_the_same(file):
    unix = read_documents([file("a.txt", "하나\n둘\n\n셋\n")])
    windows = read_documents([file("a.txt", b"\xef\xbb\xbf" + "하나\r\n둘\r\n\r\n셋\r\n".encode())])
    assert windows == unix


def test_files_that_are_not_utf_8_are_named_at_once_with_a_way_out(file, tmp_path):
    file("a/old.txt", "국방".encode("cp949"))
    file("a/new.txt", "위성")
    file("a/old.jsonl", '{"text": "국방"}'.encode("cp949"))
    with pytest.raises(InvalidTextError) as caught:
        read_documents([tmp_path / "a"])
    paths = f"{tmp_path / 'a/old.jsonl'}, {tmp_path / 'a/old.txt'}"
    assert str(caught.value) == f"{paths} are not UTF-8 and seem to be cp949: pass --encoding cp949"
    assert {document.text for document in read_documents([tmp_path / "a"], encoding="cp949")} == {"국방", "위성"}


def test_utf_16_and_compressed_files_read_as_others_do(file):
    content = "하나\r\n둘\r\n\r\n셋\r\n"
    plain = [document.text for document in read_documents([file("a.txt", content)])]
    assert plain == ["하나\n둘", "셋"]
    for name, content_bytes in (("b.txt", content.encode("utf-16")), ("c.txt.gz", gzip.compress(content.encode()))):
        assert [document.text for document in read_documents([file(name, content_bytes)])] == plain


def test_a_text_too_long_to_be_one_is_refused(file, monkeypatch):
    monkeypatch.setattr(inputs, "MAX_CHARACTERS", 10)
    path = file("a.txt", "위성\n\n" * 3)
    assert len(read_documents([path])) == 3
    with pytest.raises(InvalidTextError, match="--split paragraph"):
        read_documents([path], split=Split.file)


# Arrays and tables


def test_an_array_of_objects_is_documents(file):
    path = file("a.json", json.dumps([{"id": 7.0, "content": "글"}, {"_id": "b", "text": "둘", "n": 1}], indent=1))
    assert read_documents([path]) == [Document("7", "글"), Document("b", "둘", {"n": 1})]
    with pytest.raises(InvalidDocumentError, match=r"b\.json, item 2: there is no field 'text'; it has 'txt'"):
        read_documents([file("b.json", '[{"text": "x"}, {"txt": "y"}]')])


def test_a_table_is_documents(file):
    path = file("a.csv", "\ufeffID,제목,본문,year,note\r\n007,위성,정찰 위성,2024,\r\n8,,김치,2019,매운\r\n")
    assert read_documents([path]) == [
        Document("007", "위성\n정찰 위성", {"제목": "위성", "title": "위성", "year": 2024}),
        Document("8", "김치", {"year": 2019, "note": "매운"}),
    ]
    path = file("b.tsv", "key\tdescription\n1\t글\n2\t둘\n")
    assert [(d.id, d.text) for d in read_documents([path], fields=Fields("description", "key"))] == [
        ("1", "글"),
        ("2", "둘"),
    ]
    with pytest.raises(InvalidDocumentError, match=r"b\.tsv:2: there is no field 'text'; it has 'key', 'description'"):
        read_documents([path])


def test_rows_of_a_table_without_ids_have_those_of_the_same_rows_as_json(file):
    table = file("a.csv", "text,year,note\n글,2024,\n둘,2019,x\n")
    lines = file("b.jsonl", rows({"text": "글", "year": 2024}, {"text": "둘", "year": 2019, "note": "x"}))
    assert read_documents([table]) == read_documents([lines])


# Names as macOS writes them


def test_names_are_composed_in_ids_and_sources(file, tmp_path):
    apart = unicodedata.normalize("NFD", "휴가규정.md")
    assert apart != "휴가규정.md"
    file(f"folder/{apart}", "글")
    expected = Document("휴가규정.md", "글", {"source": "휴가규정.md"})
    assert read_documents([tmp_path / "folder"]) == [expected]
    (paragraph,) = read_documents([tmp_path / "folder" / apart])
    assert (paragraph.id, paragraph.metadata["source"]) == ("휴가규정.md#1", "휴가규정.md")
    listed = file("a.jsonl", rows({"id": apart, "text": "글", "source": apart, "name": apart}))
    (row,) = read_documents([listed])
    assert (row.id, row.metadata) == (apart, {"source": "휴가규정.md", "name": apart})


# Folders


def test_a_folder_is_read_recursively_in_order_and_a_text_file_in_it_is_one_document(file, tmp_path):
    file("folder/b.txt", "나\n\n다")
    file("folder/a/깊은/글.md", "가")
    file("folder/c.jsonl", rows({"id": "c", "text": "라"}))
    file("folder/image.png", b"\x89PNG")
    assert [(document.id, document.text) for document in read_documents([tmp_path / "folder"])] == [
        ("a/깊은/글.md", "가"),
        ("b.txt", "나\n\n다"),
        ("c", "라"),
    ]


def test_a_folder_can_be_split_into_paragraphs(file, tmp_path):
    file("folder/a.txt", "가\n\n나")
    assert [d.id for d in read_documents([tmp_path / "folder"], split=Split.paragraph)] == ["a.txt#1", "a.txt#2"]


def test_what_is_hidden_in_a_folder_is_left_alone(file, tmp_path):
    file("folder/.hidden.txt", "x")
    file("folder/.git/a.txt", "x")
    file("folder/seen.txt", "y")
    file("folder/empty.txt", " \n")
    assert [document.id for document in read_documents([tmp_path / "folder"])] == ["seen.txt"]


def test_a_hidden_folder_that_is_named_is_read(file, tmp_path):
    file(".notes/a.txt", "x")
    assert len(read_documents([tmp_path / ".notes"])) == 1


def test_a_pipe_or_a_link_out_of_the_folder_is_refused_and_not_passed_over(file, tmp_path):
    file("folder/a.txt", "글")
    file("secret.txt", "비밀")
    inside, outside = tmp_path / "folder/b.txt", tmp_path / "folder/c.txt"
    inside.symlink_to("a.txt")
    assert [document.id for document in read_documents([tmp_path / "folder"])] == ["a.txt", "b.txt"]
    for target, reason in (
        ("../secret.txt", "leads out of the folder"),
        ("nowhere", "leads nowhere"),
        ("c.txt", "leads"),
    ):
        outside.symlink_to(target)
        with pytest.raises(InvalidParameterError, match=rf"c\.txt: the link {reason}"):
            read_documents([tmp_path / "folder"])
        outside.unlink()
    os.mkfifo(outside)
    with pytest.raises(InvalidParameterError, match=r"c\.txt: not a regular file"):
        read_documents([tmp_path / "folder"])


# Nothing to read


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_an_empty_file_is_refused(file, name, content):
    with pytest.raises(InvalidParameterError, match="nothing to index"):
        read_documents([file(name, content)])


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InvalidParameterError, match=r"no \.jsonl, .* or \.md file"):
        read_documents([tmp_path])


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(InvalidParameterError, match="no such file or folder"):
        read_documents([tmp_path / "nowhere.jsonl"])


def test_a_file_of_an_unknown_kind_is_refused(file):
    with pytest.raises(InvalidParameterError, match="cannot tell what it holds"):
        read_documents([file("a.pdf", "%PDF")])


def test_no_message_quotes_a_text(file):
    for name, content in (
        ("a.jsonl", '{"text": "SECRET", "id": []}'),
        ("b.jsonl", '{"text": "SECRET'),
        ("c.jsonl", r'{"text": "SECRET\ud800"}'),
        ("d.txt", b"SECRET\xff"),
    ):
        with pytest.raises(PixieError) as caught:
            read_documents([file(name, content)])
        assert "SECRET" not in str(caught.value)
