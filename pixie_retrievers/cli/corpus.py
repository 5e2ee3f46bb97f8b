"""The demo corpus that ships in the package, and the demo's choice of questions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixie_retrievers.cli.inputs import read_documents

if TYPE_CHECKING:
    from pixie_retrievers.types import Document

__all__ = ["CARD", "CHOSEN", "FILTERED", "Question", "passages", "questions"]

_FOLDER = Path(__file__).parent / "demo_corpus"

CARD = ("q-151", "q-152", "q-153")
"""The three questions of the model card."""

CHOSEN = ("q-033", "q-104", "q-059", "q-139", "q-042", "q-022", "q-080", "q-025")
"""Questions in different fields; the demo shows as many as it is asked for."""

FILTERED: tuple[str, dict[str, Any]] = ("q-065", {"year": {"$lt": 2020}})
"""A question, and which documents count for it."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the ids of the passages that answer it."""

    id: str
    text: str
    relevant: tuple[str, ...]


def passages() -> list[Document]:
    """The passages, read as `pixie index` would read them."""
    return list(read_documents([_FOLDER / "passages.jsonl"]))


def questions() -> dict[str, Question]:
    """The questions by id."""
    lines = (_FOLDER / "questions.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["id"]: Question(row["id"], row["text"], tuple(row["relevant"])) for row in rows}
