"""Judged questions and clicks, as people have them."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import InvalidParameterError
from pixie_retrievers.tuning.judgements import read_questions


def test_rows_are_questions_with_the_ids_that_answer_them():
    read = read_questions(
        [
            {"question": "a", "relevant": ["1", 2]},
            {"query": "b", "relevant": {"1": 2, "3": 0}},
            {"text": "c", "relevant": "1"},
        ]
    )
    assert [question.grades for question in read.questions] == [{"1": 1, "2": 1}, {"1": 2}, {"1": 1}]
    assert (read.n_rows, read.n_merged, read.n_empty, read.is_log) == (3, 0, 0, False)


def test_a_question_that_is_judged_twice_is_one():
    read = read_questions(
        [{"question": "a  b", "relevant": {"1": 1, "2": 3}}, {"question": " a b", "relevant": {"1": 2, "4": 1}}]
    )
    assert [question.grades for question in read.questions] == [{"1": 2, "2": 3, "4": 1}]
    assert read.n_merged == 1


def test_a_row_without_an_answer_is_counted():
    read = read_questions([{"question": "a", "relevant": []}, {"question": "b", "relevant": {"1": 0}}])
    assert (read.questions, read.n_empty) == ((), 2)


def test_a_click_is_a_pair_with_each_document_that_was_shown_above_and_not_clicked():
    read = read_questions(
        [
            {"question": "a", "shown": ["1", "2", "3", "4"], "clicked": ["2", "4"]},
            {"question": "a", "shown": ["5", "1"], "clicked": "1"},
            {"question": "b", "shown": ["1", "2"], "clicked": "1"},
            {"question": "c", "shown": ["1", "2"], "clicked": []},
        ]
    )
    first, second = read.questions
    assert first.pairs == [("2", "1"), ("4", "1"), ("4", "3"), ("1", "5")]
    assert (first.grades, list(first.shown)) == ({"2": 1, "4": 1, "1": 1}, ["1", "2", "3", "4", "5"])
    assert (second.pairs, second.grades) == ([], {"1": 1})
    assert (read.is_log, read.n_merged, read.n_empty) == (True, 1, 1)


def test_a_file_says_the_same(tmp_path):
    rows = [{"question": "휴가는 며칠?", "relevant": ["leave"]}, {"question": "풀?", "relevant": {"pool": 2}}]
    path = tmp_path / "judged.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert read_questions(path) == read_questions(rows)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a", "type str"),
        ({"relevant": ["1"]}, "has no question"),
        ({"question": " ", "relevant": ["1"]}, "has no question"),
        ({"question": 1, "relevant": ["1"]}, "has no question"),
        ({"question": "a"}, "neither 'relevant'"),
        ({"question": "a", "relevant": 1.5}, "'relevant' must be"),
        ({"question": "a", "relevant": [None]}, "'relevant' must be"),
        ({"question": "a", "relevant": {"1": -1}}, "grade of '1'"),
        ({"question": "a", "relevant": {"1": float("nan")}}, "grade of '1'"),
        ({"question": "a", "relevant": {"1": "2"}}, "grade of '1'"),
        ({"question": "a", "shown": ["1"], "clicked": ["2"]}, "'2' was clicked"),
    ],
)
def test_a_row_at_fault_is_named(row, said):
    with pytest.raises(InvalidParameterError, match=f"^row 2.*{said}"):
        read_questions([{"question": "fine", "relevant": ["1"]}, row])


def test_judgements_and_clicks_do_not_mix():
    with pytest.raises(InvalidParameterError, match="row 2: judged questions and clicks"):
        read_questions([{"question": "a", "relevant": ["1"]}, {"question": "a", "shown": ["1"], "clicked": ["1"]}])


@pytest.mark.parametrize("judged", [None, 7, {"question": "a"}])
def test_what_is_not_a_list_is_refused(judged):
    with pytest.raises(InvalidParameterError, match="judged is of type"):
        read_questions(judged)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidParameterError, match=r"there is no file .*judged\.jsonl"):
        read_questions(tmp_path / "judged.jsonl")
