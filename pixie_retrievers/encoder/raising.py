"""Which position of a text gives a term its weight, found in one more pass of the model over that text.

The head takes the maximum over positions block by block and forgets where it was. Here its logits are watched while it
does so, for the terms that are asked for: the numbers are those that the weights are made of, whatever the precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pixie_retrievers.encoder.forward import Kind, forward, prompt_of
from pixie_retrievers.encoder.head import BlockwisePooling
from pixie_retrievers.encoder.vocabulary import Vocabulary
from pixie_retrievers.types import RaisedBy

__all__ = ["raised_by", "strongest_positions"]


def raised_by(
    model: Any,
    vocabulary: Vocabulary,
    text: str,
    term_ids: Sequence[int],
    kind: Kind,
    *,
    turn: AbstractContextManager[Any],
) -> dict[int, RaisedBy]:
    """Which token of a text raised each of some terms; terms without a weight are not in the result.

    Args:
        model: A ``SparseEncoder`` that is set to evaluate.
        vocabulary: The model's.
        text: The text.
        term_ids: The terms.
        kind: Decides prompt and route.
        turn: Held while the model runs.

    Raises:
        InvalidParameterError: A term is outside the vocabulary.
    """
    # What stands for characters that the vocabulary has only as bytes comes from the text, never from the model.
    asked = [int(term) for term in dict.fromkeys(term_ids) if not vocabulary.is_rare(term)]
    prompt = prompt_of(model, kind)
    (reading,) = vocabulary.read([text], prompt)
    if not asked or not reading.n_tokens:
        return {}
    ids, spans, _ = vocabulary.located(text, prompt)
    with turn:
        positions, weights = strongest_positions(model, reading.text, kind, asked)
    found: dict[int, RaisedBy] = {}
    for term, position, weight in zip(asked, positions.tolist(), weights.tolist(), strict=False):
        span = spans[position]
        by = vocabulary.surfaces([ids[position]])[0] if span is None else text[slice(*span)]
        if weight > 0:
            found[term] = RaisedBy(term, weight, by, span)
    return found


def strongest_positions(
    model: Any, text: str, kind: Kind, term_ids: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each term the position with the largest logit, and the weight of the text; no two threads at once.

    Args:
        model: A ``SparseEncoder`` that is set to evaluate.
        text: One text.
        kind: Decides prompt and route.
        term_ids: The terms.

    Returns:
        Positions, int64, and weights, float32, both of shape (m,); of shape (0,) where the text takes a route without
        a head, on which no term raises another.
    """
    asked = torch.as_tensor(list(term_ids), dtype=torch.long, device=model.device)
    logits: list[torch.Tensor] = []
    passed: list[Any] = []

    def watch(values: torch.Tensor) -> None:
        logits.append(values.index_select(-1, asked).reshape(-1, len(asked)).float())

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, BlockwisePooling):
                hooks.callback(module.decoder.register_forward_hook(lambda _, __, out: watch(out)).remove)
                hooks.callback(module.register_forward_hook(lambda head, *_: passed.append(head)).remove)
            elif type(module).__name__ == "SpladePooling":
                hooks.callback(module.register_forward_pre_hook(_watching_whole(watch, passed)).remove)
        forward(model, [text], kind)
    if not logits:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    with torch.inference_mode():
        shares = torch.cat(logits).relu().log1p()
        if passed[0].activation_function == "log1p_relu":
            shares = shares.log1p()
        weights, positions = shares.max(dim=0)
        if passed[0].pooling_strategy == "sum":
            weights = shares.sum(dim=0)
    return positions.cpu().numpy(), weights.cpu().numpy()


def _watching_whole(watch: Callable[[torch.Tensor], None], passed: list[Any]) -> Callable[..., None]:
    """For a head that could not be split: what it is given are the logits of all positions."""

    def before(head: Any, arguments: tuple[Any, ...]) -> None:
        watch(arguments[0]["token_embeddings"])
        passed.append(head)

    return before
