"""Rules as a file that people read and write."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import InvalidParameterError, Rules, StorageError, rules_of
from pixie_retrievers.rules.files import read_rules, write_rules
from pixie_retrievers.rules.rules import Origin


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rules.json"


def test_what_is_written_is_read_again(encoder, path):
    by_hand = rules_of(encoder, {"풀": 0.3}, [(("연", "차"), "휴가", 0.8)])
    rules = by_hand.merged(rules_of(encoder, {"법": 1.25}, origin=Origin("2026-11-27", 1000)))
    write_rules(path, rules)
    assert read_rules(path, encoder) == rules


def test_a_file_has_an_entry_a_line_and_korean_as_korean(encoder, path):
    write_rules(path, rules_of(encoder, {"풀": 0.3, "휴가": 2}))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum('"surface": "풀"' in line for line in lines) == sum('"surface": "휴가"' in line for line in lines) == 1
    write_rules(path, Rules())
    assert read_rules(path, encoder) == Rules()


def test_a_person_need_not_write_more_than_words(encoder, path):
    path.write_text('{"factors": [{"surface": "풀", "factor": 0.3}]}', encoding="utf-8")
    assert read_rules(path, encoder) == rules_of(encoder, {"풀": 0.3})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "does not hold rules"),
        ("[]", "does not hold rules"),
        ('{"factors": [{"factor": 1}]}', "does not hold rules"),
        ('{"factors": [{"surface": "연차", "factor": 1}]}', "apart into"),
        ('{"factors": [{"token": "##nothing##", "factor": 1}]}', "another model's"),
        ('{"factors": [{"surface": "풀", "factor": -1}]}', "factor of '풀'"),
        ('{"factors": [{"surface": "풀", "factor": "much"}]}', "factor of '풀'"),
        ('{"format": "pixie-rules-9"}', "pixie-rules-9"),
    ],
)
def test_what_is_not_rules_is_refused_with_its_file(encoder, path, content, said):
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidParameterError, match=said) as caught:
        read_rules(path, encoder)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_said(encoder, path):
    with pytest.raises(StorageError, match="cannot be read"):
        read_rules(path, encoder)
    with pytest.raises(StorageError, match="cannot be written"):
        write_rules(path / "below", Rules())


def test_numbers_of_terms_are_not_in_the_file(encoder, path):
    write_rules(path, rules_of(encoder, {"풀": 0.3}))
    assert set(json.loads(path.read_text(encoding="utf-8"))["factors"][0]) == {"token", "surface", "factor"}
