"""The corpus of a BEIR data set, which our own evaluation reads too."""

from __future__ import annotations


def test_a_row_has_the_title_and_the_text_without_it(exported, held, json_lines):
    documents, _ = held
    rows = json_lines(exported("beir"), "corpus.jsonl")
    assert [sorted(row) for row in rows] == [["_id", "metadata", "text", "title"]] * len(documents)
    assert [row["_id"] for row in rows] == [document.id for document in documents]
    assert [f"{row['title']}\n{row['text']}" for row in rows] == [document.text for document in documents]
    assert [row["metadata"] for row in rows] == [document.metadata for document in documents]
