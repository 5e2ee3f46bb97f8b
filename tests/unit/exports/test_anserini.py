"""JSON vectors for Anserini: the index's weights as whole numbers under term ids."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:4 ids hold white space")


@pytest.mark.parametrize("steps", [None, 7])
def test_weights_are_the_indexs_in_steps(exported, held, json_lines, steps):
    documents, vectors = held
    folder = exported("anserini", quantise=steps)
    rows = json_lines(folder, "documents/*.jsonl")
    assert [row["id"] for row in rows] == [document.id for document in documents]
    assert [row["contents"] for row in rows] == [document.text for document in documents]
    expected = [
        {str(term): round(weight * (steps or 100)) for term, weight in row.items()} for row in vectors.to_dicts()
    ]
    n_dropped = sum(impact == 0 for row in expected for impact in row.values())
    assert [row["vector"] for row in rows] == [
        {term: impact for term, impact in row.items() if impact} for row in expected
    ]
    said = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (said["quantise"], said["n_dropped"]) == (steps or 100, n_dropped)
    assert n_dropped > 0
    assert np.all([len(row["vector"]) for row in rows[:50]])


def test_the_folder_that_anserini_reads_holds_documents_alone(exported):
    folder = exported("anserini", tokens=lambda terms: [f"t{term}" for term in terms])
    assert [path.name for path in (folder / "documents").iterdir()] == ["documents-00000.jsonl"]
    assert sorted(path.name for path in folder.iterdir()) == ["documents", "manifest.json", "terms.tsv"]
