"""What a retrieval adds to the metadata of a document or node that it returns: the same keys in every adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixie_retrievers.types.explanations import Explanation, is_token_list

__all__ = [
    "FUSION_PARTS",
    "NOTES",
    "SCORE",
    "TOKEN_COUNT",
    "TOKEN_EXPLANATIONS",
    "TOKEN_NOTES",
    "TOKEN_RESIDUAL",
    "TOKEN_SCORE",
    "own_notes",
    "token_notes",
    "without_annotations",
]

SCORE = "score"
TOKEN_EXPLANATIONS = "token_explanations"  # noqa: S105  # a token of text
TOKEN_RESIDUAL = "token_explanations_residual"  # noqa: S105
"""The score of the tokens that are not listed: with the contributions it adds up to the whole."""
TOKEN_COUNT = "token_explanations_n_tokens"  # noqa: S105
"""How many tokens there are, listed or not."""
TOKEN_SCORE = "token_explanations_score"  # noqa: S105
"""The score that token explanations explain, where the hit has a score of another retriever."""
FUSION_PARTS = "fusion_parts"

TOKEN_NOTES = (TOKEN_EXPLANATIONS, TOKEN_RESIDUAL, TOKEN_COUNT, TOKEN_SCORE)
NOTES = (*TOKEN_NOTES, FUSION_PARTS)

_PART = {"rank", "score", "value", "weight", "contribution"}


def token_notes(explanation: Explanation) -> dict[str, Any]:
    """What a retrieval notes of an explanation: the tokens, and what those add that are left out."""
    return {
        TOKEN_EXPLANATIONS: explanation.to_metadata(),
        TOKEN_RESIDUAL: explanation.residual,
        TOKEN_COUNT: explanation.n_tokens,
    }


def own_notes(metadata: Mapping[str, Any]) -> set[str]:
    """The keys under which a retrieval of this package left a note, told by the shape of what stands there.

    So a hit is known as one after it went through JSON, a splitter or another store, and what a caller keeps under the
    same names is left alone.
    """
    found: set[str] = set()
    if is_token_list(metadata.get(TOKEN_EXPLANATIONS)):
        found.update(key for key in TOKEN_NOTES if key in metadata)
    parts = metadata.get(FUSION_PARTS)
    if isinstance(parts, Mapping) and parts and all(_is_part(part) for part in parts.values()):
        found.add(FUSION_PARTS)
    return found


def without_annotations(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a document's metadata, without what an earlier retrieval added for its own query.

    Token explanations, or what the parts of a hybrid retrieval said, mark such a document: they go, and the score
    beside them. A score that stands alone is the caller's own, and stays.
    """
    notes = own_notes(metadata)
    dropped = notes | {SCORE} if notes else notes
    return {key: value for key, value in metadata.items() if key not in dropped}


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.keys() >= _PART
