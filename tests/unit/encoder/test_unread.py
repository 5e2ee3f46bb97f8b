"""Texts that are cut are counted over a whole call, and one warning says so, wherever documents are encoded."""

from __future__ import annotations

import warnings

import pytest

from pixie_retrievers import Document, PixieEncoder, PixieWarning, SparseRetriever, indexing
from pixie_retrievers.encoder.unread import Unread, collect_unread, report_unread
from pixie_retrievers.indexing import Indexed

LONG = "위성 " * 200


@pytest.fixture
def retriever(encoder, tmp_path):
    with SparseRetriever.open(tmp_path / "index.db", encoder=encoder) as opened:
        yield opened


def documents(n_long, n_short=0):
    return [Document(f"d{n}", f"{n}번 {LONG if n < n_long else '위성'}") for n in range(n_long + n_short)]


def test_a_stream_warns_once_for_all_its_batches_and_counts_what_it_cut(retriever, monkeypatch):
    monkeypatch.setattr(indexing, "_COMMIT_DOCUMENTS", 10)
    with pytest.warns(PixieWarning, match=r"of 25 of 30 texts.*reads 64 tokens") as caught:
        indexed = retriever.add_stream(documents(25, 5))
    assert indexed == Indexed(added=30, updated=0, unchanged=0, cut=25)
    assert [warning.filename for warning in caught] == [__file__]
    assert retriever.add_stream(documents(25, 5)).cut == 0  # nothing was encoded again
    assert retriever.index.stats().n_cut == 25


@pytest.mark.new_process
def test_processes_report_what_they_cut(retriever):
    with pytest.warns(PixieWarning, match="of 3 of 100 texts") as caught:
        assert retriever.add_stream(documents(3, 97), devices=["cpu"]).cut == 3
    assert retriever.index.stats().n_cut == 3
    assert len(caught) == 1


def test_making_an_index_equal_warns_once_too(retriever):
    with pytest.warns(PixieWarning, match="of 2 of 3 texts") as caught:
        assert retriever.sync(documents(2, 1)).cut == 2
    retriever.sync([Document("d0", "위성"), *documents(2, 1)[1:]])
    assert retriever.index.stats().n_cut == 1
    assert len(caught) == 1


@pytest.mark.parametrize(
    "add",
    [
        lambda retriever: retriever.add(documents(1, 2)),
        lambda retriever: retriever.add_texts([LONG, "위성", "사진"]),
        lambda retriever: retriever.encoder.encode_documents([LONG, "위성", "사진"]),
    ],
    ids=["add", "add_texts", "encode_documents"],
)
def test_every_way_to_encode_documents_warns(retriever, add):
    with pytest.warns(PixieWarning, match="of 1 of 3 texts") as caught:
        add(retriever)
    assert retriever.index.stats().n_cut == len(retriever) // 3
    assert [warning.filename for warning in caught] == [__file__]


def test_vectors_say_which_texts_were_cut(encoder):
    with pytest.warns(PixieWarning):
        assert encoder.encode_documents(["위성", LONG, "", LONG]).cut.tolist() == [False, True, False, True]
    assert encoder.encode_queries([LONG, "위성"]).cut.tolist() == [True, False]


def test_a_text_that_just_fits_is_not_reported(retriever, encoder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        just_fits = "위성 " * 62
        assert encoder.count_tokens([just_fits]) == [64]
        encoder.encode_documents([just_fits, "위성"])
        retriever.add([])


def test_an_outer_collection_takes_what_an_inner_one_reports():
    with collect_unread() as outer:
        with collect_unread() as inner:
            report_unread(Unread(1, 2, 64, longest=100, read=50))
        assert outer == Unread()
        report_unread(inner)
        report_unread(Unread(1, 3, 64, longest=70, read=60))
    assert outer == Unread(2, 5, 64, longest=100, read=50)


def test_the_message_says_how_many_tokens_are_read(today_folder):
    encoder = PixieEncoder(today_folder, device="cpu", max_length=12)
    with pytest.warns(PixieWarning, match=r"it reads 12 tokens; of the longest, 600 characters, it read 29\)"):
        encoder.encode_documents(["위성 " * 200])
