"""JSON Lines for Anserini's JsonVectorCollection: a document's weights as whole numbers under its term ids."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pixie_retrievers.exports.base import Batches, Parts, Settings, json_line, quantised

__all__ = ["export_anserini"]


def export_anserini(batches: Batches, folder: Path, settings: Settings) -> Mapping[str, Any]:
    """Write ``documents/documents-00000.jsonl`` and so on, and nothing beside them: Anserini reads a whole folder.

    A term is its id in digits, which no tokenizer takes apart.
    """
    documents_folder = folder / "documents"
    documents_folder.mkdir()
    n_dropped = 0
    with Parts(documents_folder, "documents", ".jsonl") as parts:
        for documents, vectors in batches:
            impacts = quantised(documents, vectors, settings.quantise).tolist()
            n_dropped += impacts.count(0)
            terms = vectors.term_ids.tolist()
            for document, (low, high) in zip(documents, pairwise(vectors.indptr.tolist()), strict=True):
                weights = zip(terms[low:high], impacts[low:high], strict=True)
                vector = {str(term): impact for term, impact in weights if impact}
                parts.write(json_line({"id": document.id, "contents": document.text, "vector": vector}))
    return {"quantise": settings.quantise, "n_dropped": n_dropped}
