"""What a retrieval adds to the metadata of a document or node that it returns: the same keys in every adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FUSION_PARTS", "SCORE", "TOKEN_EXPLANATIONS", "without_annotations"]

SCORE = "score"
TOKEN_EXPLANATIONS = "token_explanations"  # noqa: S105  # a token of text
FUSION_PARTS = "fusion_parts"


def without_annotations(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a document's metadata, without what an earlier retrieval added for its own query.

    Token explanations, or what the parts of a hybrid retrieval said, mark such a document: they go, and the score
    beside them. A score that stands alone is the caller's own, and stays.
    """
    kept = dict(metadata)
    marks = [kept.pop(key, None) for key in (TOKEN_EXPLANATIONS, FUSION_PARTS)]
    if any(mark is not None for mark in marks):
        kept.pop(SCORE, None)
    return kept
