"""What the formats share: files of bounded size, and weights as whole numbers."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import Document, InvalidParameterError, SparseVectors
from pixie_retrievers.exports.base import Parts, json_line, quantised


def test_lines_that_are_written_together_stay_together_in_files_of_bounded_size(tmp_path):
    with Parts(tmp_path, "part", ".txt", max_bytes=10) as parts:
        for lines in (b"1234\n", b"12\n45\n", b"1\n", b"longer than a file may be\n", b"\n"):
            parts.write(lines)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [
        b"1234\n",
        b"12\n45\n1\n",
        b"longer than a file may be\n",
        b"\n",
    ]


def test_no_line_makes_no_file(tmp_path):
    with Parts(tmp_path, "part", ".txt"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [{"글": "줄\n바꿈\r\u2028"}, ["\x00\x85", 2**200, 1e-7]])
def test_a_value_is_one_line_of_json(value):
    line = json_line(value)
    assert line.count(b"\n") == 1
    assert json.loads(line) == value


def test_weights_become_the_nearest_whole_numbers():
    rows = [{1: 0.004, 2: 0.006, 3: 1.2345}, {}, {9: 3.0}]
    vectors = SparseVectors.from_dicts(rows, 10)
    documents = [Document(str(n), "") for n in range(3)]
    assert quantised(documents, vectors, 100).tolist() == [0, 1, 123, 300]
    assert quantised(documents, vectors, 1).tolist() == [0, 0, 1, 3]
    assert quantised([], SparseVectors.from_dicts([], 10), 100).tolist() == []


@pytest.mark.parametrize("row", [{1: 2.0**50}, {1: 2.0**30, 2: 2.0**30}])
def test_a_sum_that_readers_cannot_count_is_refused_by_the_documents_id(row):
    vectors = SparseVectors.from_dicts([{1: 1.0}, row], 10)
    with pytest.raises(InvalidParameterError, match="document 'heavy' come to more than 31 bits"):
        quantised([Document("light", ""), Document("heavy", "")], vectors, 1)
