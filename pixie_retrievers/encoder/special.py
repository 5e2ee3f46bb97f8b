"""What looks like a special token in a text is text: "[MASK]" in a manual is not a mask."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["forget_special_tokens", "read_special_tokens_as_text", "specials_stay_special"]

_HIDDEN = "\uffff"  # before a piece's name: not a character, so no text has it


def specials_stay_special(model: Any) -> bool:
    """Whether a prompt of a model is written with its special tokens: then they have to be read as such."""
    prompts = [prompt for prompt in model.prompts.values() if prompt]
    return any(token in prompt for token in model.tokenizer.all_special_tokens for prompt in prompts)


def read_special_tokens_as_text(model: Any) -> None:
    """Make every tokenizer of a model, each route of a router has one, read special tokens as text."""
    named = {id(found): found for module in model.modules() if (found := getattr(module, "tokenizer", None))}
    for tokenizer in named.values():
        tokenizer.split_special_tokens = True  # it tells its backend at every call
        forget_special_tokens(tokenizer.backend_tokenizer)


def forget_special_tokens(backend: Any) -> None:
    """Make a tokenizer read special tokens as any other text; those that it puts around a text stay.

    Args:
        backend: A tokenizer of ``tokenizers``; it is changed, and cannot be written and read again afterwards.
    """
    from tokenizers import models

    backend.encode_special_tokens = True
    if not isinstance(backend.model, models.Unigram):
        return
    # Its pieces are matched wherever they stand, and the special tokens' names are among them.
    described = json.loads(backend.to_str())
    special = {added["content"] for added in described["added_tokens"] if added["special"]}
    model = described["model"]
    pieces = [(_HIDDEN + piece if piece in special else piece, score) for piece, score in model["vocab"]]
    backend.model = models.Unigram(pieces, model["unk_id"], model.get("byte_fallback") or False)
