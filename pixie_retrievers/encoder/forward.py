"""One pass of a model over a few texts, without what sentence-transformers does around each: a tenth of a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pixie_retrievers.encoder.panics import panics_refused

__all__ = ["Kind", "forward", "prepare", "prompt_of"]

Kind = Literal["query", "document"]


def prompt_of(model: Any, kind: Kind) -> str:
    """What stands before each text, by the rules of ``encode_query`` and ``encode_document``."""
    names = ("query",) if kind == "query" else ("document", "passage", "corpus")
    chosen = next((name for name in names if name in model.prompts), model.default_prompt_name)
    return model.prompts.get(chosen) or ""


def forward(model: Any, features: dict[str, Any], kind: Kind) -> Any:
    """The pooled vectors, a tensor of (n, vocabulary) on the model's device.

    ``encode_query`` and ``encode_document`` give the same; they look at every module and every weight of the model
    first, to see that they are where they were.

    Args:
        model: A ``SparseEncoder`` that is set to evaluate.
        features: What :func:`prepare` gave, or the same; they may be changed.
        kind: Decides the route.
    """
    import torch

    most = {} if model.max_active_dims is None else {"max_active_dims": model.max_active_dims}
    moved = {
        name: value.to(model.device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }
    with torch.inference_mode():
        pooled = model(moved, task=kind, **most)["sentence_embedding"]
        if not most:
            return pooled
        from sentence_transformers.util import select_max_active_dims

        return select_max_active_dims(pooled, **most)


@panics_refused()
def prepare(model: Any, texts: Sequence[str], kind: Kind) -> dict[str, Any]:
    """What sentence-transformers makes of texts for a model, prompt and all.

    Raises:
        UnsafeModelError: The tokenizer panics at one of them.
    """
    prompted = [prompt_of(model, kind) + text for text in texts]
    made = getattr(model, "preprocess", None) or model.tokenize  # renamed in version 6
    return dict(made(prompted, task=kind))
