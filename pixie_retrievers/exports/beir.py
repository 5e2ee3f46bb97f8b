"""The corpus of a BEIR data set: texts for others to encode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixie_retrievers.exports.base import Batches, Settings, json_line
from pixie_retrievers.types import Document

__all__ = ["export_beir"]


def export_beir(batches: Batches, folder: Path, settings: Settings) -> Mapping[str, Any]:  # noqa: ARG001
    """Write ``corpus.jsonl``: ``_id``, ``title``, ``text``, ``metadata``. Queries are not the index's to give."""
    with (folder / "corpus.jsonl").open("xb") as file:
        for documents, _ in batches:
            for document in documents:
                title, text = _title(document)
                row = {"_id": document.id, "title": title, "text": text, "metadata": document.metadata}
                file.write(json_line(row))
    return {}


def _title(document: Document) -> tuple[str, str]:
    """The title, and the text without it: `pixie index` puts it on the first line, and so do readers of BEIR."""
    title = document.metadata.get("title")
    if not isinstance(title, str):
        return "", document.text
    return title, document.text.removeprefix(f"{title}\n")
