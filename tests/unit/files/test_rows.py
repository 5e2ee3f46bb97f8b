"""Rows out of JSON, tables and Parquet: what each format gives, and how what is wrong in one is named."""

from __future__ import annotations

import datetime as dt
import gzip
import json

import pytest

from pixie_retrievers import InvalidDocumentError, InvalidParameterError, OptionalDependencyError
from pixie_retrievers.files import rows
from pixie_retrievers.files.rows import input_files


@pytest.fixture
def read(tmp_path):
    """The rows of a file of that name and content, each with what stands behind the file's name in its place."""

    def rows_of(name, content, encoding=None):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        (file,) = input_files([path], encoding)
        return [(place.removeprefix(str(path)), row) for place, row in file.rows()]

    return rows_of


def refused(read, name, content):
    with pytest.raises(InvalidDocumentError) as caught:
        read(name, content)
    return str(caught.value)


# JSON

ITEMS = [{"id": 1, "text": "글 하나"}, {"id": 2, "text": "[글], {둘}"}, {"text": "셋", "n": [1, {"a": None}]}]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_its_items_whatever_the_files_name(read, name, indent):
    content = ("\ufeff \n" + json.dumps(ITEMS, ensure_ascii=False, indent=indent)).encode()
    found = read(name, gzip.compress(content) if name.endswith("gz") else content)
    assert found == [(f", item {n}", item) for n, item in enumerate(ITEMS, start=1)]


def test_one_object_is_one_row_and_objects_may_follow_each_other(read):
    assert read("a.json", json.dumps(ITEMS[2], indent=2)) == [(", item 1", ITEMS[2])]
    assert [row for _, row in read("a.json", "\n".join(map(json.dumps, ITEMS)))] == ITEMS
    assert read("a.json", "") == read("a.json", "[]") == read("a.json", " [ ] \n") == []


def test_an_array_larger_than_what_is_read_at_once_comes_whole(read):
    items = [{"text": "글" * n} for n in (0, 1 << 20, 5, 3 << 20, 700_000, 1)]
    assert [row for _, row in read("a.json", json.dumps(items, ensure_ascii=False))] == items


@pytest.mark.parametrize(
    ("content", "item", "reason"),
    [
        ('[{"a": 1} {"a": 2}]', 2, "a comma is missing"),
        ('[{"a": 1},', 2, "the array has no end"),
        ('[{"a": 1}', 2, "the array has no end"),
        ('[{"a": 1}] {"a": 2}', 2, "something stands behind the array"),
        ('[{"a": 1},]', 2, "not valid JSON"),
        ('[{"a": 1}, {"a": }]', 2, "not valid JSON"),
        ('[{"a": 1}, {"a": "', 2, "not valid JSON"),
        ('[{"a": 1}, {"a": NaN}]', 2, "NaN is not a JSON number"),
        ('[{"a": 1}, 5]', 2, "a JSON object, not a number"),
        ('["a"]', 1, "a JSON object, not a string"),
        ('{"a": 1}\n{"a"', 2, "not valid JSON"),
        ("[" * 100_000, 1, "nested too deep"),
        ("위성", 1, "not valid JSON"),
    ],
)
def test_a_bad_item_is_named_by_its_number(read, content, item, reason):
    message = refused(read, "a.json", content)
    assert f"a.json, item {item}: " in message
    assert reason in message


def test_lines_stay_lines_when_they_are_joined_from_files_with_marks(read):
    content = "\ufeff" + '{"a": 1}\n' + "\ufeff" + '{"a": 2}\r\n\n'
    assert read("a.jsonl", content) == [(":1", {"a": 1}), (":2", {"a": 2})]
    assert read("a.jsonl", content.encode("utf-16")) == [(":1", {"a": 1}), (":2", {"a": 2})]


# Tables


def test_a_table_gives_a_row_a_record_with_the_line_where_it_begins(read):
    content = '\ufeffid,text,note\r\n1,"정찰, ""위성""\r\n둘째 줄",a\r\n\r\n , ,\r\n2,김치,\r\n'
    assert read("a.csv", content) == [
        (":2", {"id": 1, "text": '정찰, "위성"\r\n둘째 줄', "note": "a"}),
        (":6", {"id": 2, "text": "김치", "note": ""}),
    ]


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_the_header_tells_what_separates_columns(read, name, separator):
    content = f'id{separator}"te,x;t"\na{separator}b\n'
    assert read(name, content) == [(":2", {"id": "a", "te,x;t": "b"})]


def test_a_table_of_windows_is_read_in_its_encoding(read):
    assert read("a.csv", "본문\n국방\n".encode("cp949"), "cp949") == [(":2", {"본문": "국방"})]


def test_a_column_of_numbers_is_numbers_and_any_other_stays_as_it_was_written(read):
    content = "year,score,code,price,mixed,empty\n2024,0.5,007,1.10,1,\n-3,2.0,8,2.5,x,\n,,,,,\n5,,,,,\n"
    (_, first), (_, second), (_, last) = read("a.csv", content)
    assert first == {"year": 2024, "score": 0.5, "code": "007", "price": "1.10", "mixed": "1", "empty": ""}
    assert second == {"year": -3, "score": 2.0, "code": "8", "price": "2.5", "mixed": "x", "empty": ""}
    assert last["year"] == 5
    assert last["score"] == ""


@pytest.mark.parametrize("cell", ["nan", "inf", "1e5", "1_000", " 1", "+1", "0x1", "１", "-0", "1e999", "9" * 5000])
def test_what_json_would_write_otherwise_is_not_a_number(read, cell):
    assert read("a.csv", f"n,text\n{cell},a\n")[0][1]["n"] == cell


def test_row_numbers_without_a_name_are_left_out_and_short_records_filled(read):
    assert read("a.csv", ",text,n\n0,a,b\n1,c\n") == [(":2", {"text": "a", "n": "b"}), (":3", {"text": "c", "n": ""})]


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ("a,b\n1,2,3\n", 2, "3 cells under 2 columns"),
        ('a,b\n1,2\n"3,4\n', 3, "not valid CSV"),
        ('a,b\n1,"2"3\n', 2, "not valid CSV"),
        ("a,b,a\n1,2,3\n", 1, "two columns are named 'a'"),
    ],
)
def test_a_bad_record_is_named_by_its_line(read, content, place, reason):
    message = refused(read, "a.csv", content)
    assert f"a.csv:{place}: " in message
    assert reason in message


def test_a_cell_may_be_long(read):
    assert len(read("a.csv", f"text,n\n{'글' * 300_000},a\n")[0][1]["text"]) == 300_000


# Parquet


def test_parquet_without_the_package_for_it_says_what_to_install(read, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(OptionalDependencyError, match=r'a\.parquet: .*pip install "pixie-retrievers\[parquet\]"'):
        read("a.parquet", b"PAR1")


def test_parquet_gives_a_row_a_record(read, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table(
        {"id": [7.0, None], "text": ["글", "둘"], "when": [dt.date(2024, 5, 1), None], "n": [[1], None]}
    )
    parquet.write_table(table, tmp_path / "made.parquet")
    assert read("a.parquet", (tmp_path / "made.parquet").read_bytes()) == [
        (", row 1", {"id": 7.0, "text": "글", "when": dt.date(2024, 5, 1), "n": [1]}),
        (", row 2", {"id": None, "text": "둘", "when": None, "n": None}),
    ]
    for broken in (b"", b"PAR1 and no more"):
        with pytest.raises(InvalidParameterError, match="cannot be read as Parquet"):
            read("b.parquet", broken)


def test_all_but_parquet_may_be_compressed():
    assert rows.suffix_of(rows.Path("a/B.CSV.GZ")) == ".csv"
    assert rows.suffix_of(rows.Path("a.gz")) == ""
    assert rows.suffix_of(rows.Path("a.tar.gz")) == ".tar"
