"""Where a text is marked: where the tokenizer says that a token stands, and nowhere else."""

from __future__ import annotations

import pickle
import unicodedata

import pytest
from characters import FAMILY
from explanations import explanation_of
from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers import PixieEncoder, PixieWarning, SparseRetriever
from pixie_retrievers.render.marks import Mark, MarkedText
from pixie_retrievers.render.words import printable
from pixie_retrievers.types import RaisedBy, TextExplanation, TextToken, TokenContribution


def token(surface, contribution=1.0, *, document=True):
    return TokenContribution(surface, surface, 0, contribution, 1.0, contribution, True, document)


def marked(text, *tokens, begin=0, **options):
    return MarkedText.of_document(text, begin, explanation_of(tokens, text=text, **options))


def stretches(shown):
    return [shown.text[mark.start : mark.stop] for mark in shown.marks]


@pytest.fixture(scope="module")
def retriever(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(["스레드 풀의 문제가 잘 풀립니다.", "위성\n  위성"], ids=["pool", "lines"])
        yield retriever


def test_marks_come_from_the_tokenizer(retriever):
    (hit, *_) = retriever.search("스레드")
    shown = MarkedText.of_document(hit.document.text, 0, hit.explanation)
    assert "".join(stretches(shown)).startswith("스")
    assert "풀" not in stretches(shown)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_text_in_either_form_is_marked_in_whole_letters(retriever, form):
    text = unicodedata.normalize(form, "정찰 위성과 정찰 위성")
    retriever.add_texts([text], ids=["forms"])
    (hit,) = retriever.search("위성", ids=["forms"])
    shown = MarkedText.of_document(hit.document.text, 0, hit.explanation)
    assert [unicodedata.normalize("NFC", piece) for piece in stretches(shown)] == ["위성", "위성"]


def test_white_space_that_is_shown_as_one_space_moves_no_mark(retriever):
    (hit,) = retriever.search("위성", ids=["lines"])
    shown = MarkedText.of_document(hit.document.text, 0, hit.explanation)
    assert (shown.text, stretches(shown)) == ("위성 위성", ["위성", "위성"])


def test_an_explanation_from_another_process_marks_nothing(retriever):
    (hit,) = retriever.search("위성", ids=["lines"])
    travelled = pickle.loads(pickle.dumps(hit.explanation))
    assert travelled.spans() is None
    assert MarkedText.of_document(hit.document.text, 0, travelled) == MarkedText("위성 위성")


def test_no_tokenizer_is_asked_before_something_is_shown(retriever, monkeypatch):
    monkeypatch.setattr(type(retriever.encoder._vocabulary), "located", lambda *_: pytest.fail("asked"))
    (hit,) = retriever.search("위성", ids=["lines"])
    assert hit.explanation.to_metadata()


def test_an_expansion_is_not_marked_and_what_raised_it_is_where_somebody_asked():
    assert marked("위성과 위성", token("위성", document=False)).marks == ()
    raised = {0: RaisedBy(0, 1.0, "위성", (0, 2)), 1: RaisedBy(1, 1.0, "[CLS]", None)}
    shown = marked("위성과 위성", token("궤도", document=False), token("x", document=False), raised_by=raised)
    assert shown.marks == (Mark(0, 2, 1.0, False, True),)


def test_a_word_may_stand_there_and_raise_others():
    raised = {1: RaisedBy(1, 1.0, "위성", (0, 2))}
    shown = marked("위성과", token("위성", 2.0), token("궤도", document=False), raised_by=raised)
    assert shown.marks == (Mark(0, 2, 3.0, True, True),)


def test_tokens_of_one_character_are_marked_together():
    assert marked("x㎏x", token("㎏", 1.0), token("㎏", 2.0)).marks == (Mark(1, 2, 3.0, True, False),)


def test_what_the_model_does_not_read_is_told_from_what_it_reads():
    text = "위성  국방 위성"
    shown = marked(text, token("위성"), read=(0, 6))
    assert shown.unread == ((5, 8),)
    assert [(piece.text, piece.literal, piece.read) for piece in shown.pieces()] == [
        ("위성", True, True), (" 국방", False, True), (" 위성", False, False)
    ]  # fmt: skip
    assert shown.n_unread == 3


def test_what_stands_before_the_shown_text_has_no_marks():
    shown = marked("위성\n국방 위성", token("위성"), begin=3)
    assert (shown.text, [(mark.start, mark.stop) for mark in shown.marks]) == ("국방 위성", [(3, 5)])


def test_a_text_alone_is_marked_by_its_own_tokens():
    tokens = (
        TextToken("위성", "위성", 1, 2.0, True, ((3, 5),)),
        TextToken("궤도", "궤도", 2, 1.0, False, (), RaisedBy(2, 1.0, "국방", (0, 2))),
    )
    shown = MarkedText.of_text(TextExplanation("국방 위성 끝", "document", "1", tokens, (0, 5)))
    assert shown.marks == (Mark(0, 2, 1.0, False, True), Mark(3, 5, 2.0, True, False))
    assert shown.unread == ((5, 7),)


def test_the_model_s_own_length_shows_in_the_text():
    text = "위성 국방 " * 40
    with SparseRetriever.open(encoder=PixieEncoder.bundled(device="cpu", max_length=16)) as retriever:
        with pytest.warns(PixieWarning):
            retriever.add_texts([text], ids=["1"])
        (hit,) = retriever.search("위성")
        shown = MarkedText.of_document(text, 0, hit.explanation)
    assert shown.unread
    assert shown.marks[-1].stop <= shown.unread[0][0]


PIECES = st.lists(st.sampled_from(["위성", "국방", " ", "\n", "\t ", "e\u0301", FAMILY, "\x1b", "."]), max_size=30).map(
    "".join
)


@given(PIECES, st.integers(0, 10), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_pieces_are_the_text_whatever_is_marked_and_read(text, begin, cut, start, length):
    begin = min(begin, len(text))
    shown = marked(
        text, token("위성", 2.0), token("성", 1.0), token("국방"), begin=begin, read=(0, min(cut, len(text)))
    )
    assert shown.text == printable(text[begin:])
    assert "".join(piece.text for piece in shown.pieces()) == shown.text
    stop = min(len(shown.text), start + length)
    start = min(start, stop)
    passage = list(shown.pieces(start, stop))
    assert "".join(piece.text for piece in passage) == shown.text[start:stop]
    assert all(0 <= piece.strength <= 1 and piece.text for piece in passage)
    assert all(left.stop <= right.start for left, right in zip(shown.marks, shown.marks[1:], strict=False))
