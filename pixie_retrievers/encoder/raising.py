"""Which position of a text gives a term its weight, found in one more pass of the model over that text.

The head takes the maximum over positions block by block and forgets where it was. Here its logits are watched while it
does so, for the terms that are asked for: the numbers are those that the weights are made of, whatever the precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pixie_retrievers.encoder.forward import Kind, prompt_of
from pixie_retrievers.encoder.head import BlockwisePooling
from pixie_retrievers.encoder.passes import Passes
from pixie_retrievers.encoder.turns import Turns
from pixie_retrievers.encoder.vocabulary import Reading, Vocabulary
from pixie_retrievers.types import RaisedBy

__all__ = ["raised_by", "strongest_positions"]


def raised_by(
    model: Any,
    vocabulary: Vocabulary,
    text: str,
    term_ids: Sequence[int],
    kind: Kind,
    *,
    passes: Passes,
    turns: Turns,
) -> dict[int, RaisedBy]:
    """Which token of a text raised each of some terms; terms without a weight are not in the result.

    Args:
        model: A ``SparseEncoder`` that is set to evaluate.
        vocabulary: The model's.
        text: The text.
        term_ids: The terms.
        kind: Decides prompt and route.
        passes: How texts of the kind go through the model.
        turns: Where the model is asked for.

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
    with turns.of_documents():
        positions, weights = strongest_positions(model, passes, reading, asked)
    turns.passed()
    found: dict[int, RaisedBy] = {}
    for term, position, weight in zip(asked, positions.tolist(), weights.tolist(), strict=False):
        span = spans[position]
        by = vocabulary.surfaces([ids[position]])[0] if span is None else text[slice(*span)]
        if weight > 0:
            found[term] = RaisedBy(term, weight, by, span)
    return found


def strongest_positions(
    model: Any, passes: Passes, reading: Reading, term_ids: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each term the position with the largest logit, and the weight of the text; no two threads at once.

    Args:
        model: A ``SparseEncoder`` that is set to evaluate.
        passes: How the text goes through it.
        reading: What it reads of the text.
        term_ids: The terms.

    Returns:
        Positions, int64, and weights, float32, both of shape (m,); of shape (0,) where the text takes a route without
        a head, on which no term raises another.
    """
    asked = torch.as_tensor(list(term_ids), dtype=torch.long, device=model.device)
    logits: list[torch.Tensor] = []
    passed: list[Any] = []

    def watch(head: Any, values: torch.Tensor) -> None:
        passed.append(head)
        logits.append(values.index_select(-1, asked).reshape(-1, len(asked)).float())

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, BlockwisePooling):
                after = partial(_after, watch, module)
                hooks.callback(module.decoder.register_forward_hook(after).remove)
            elif type(module).__name__ == "SpladePooling":
                hooks.callback(module.register_forward_pre_hook(partial(_before, watch)).remove)
        passes.start([reading], watched=True)()
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


def _after(watch: Callable[[Any, torch.Tensor], None], head: Any, _: Any, __: Any, logits: torch.Tensor) -> None:
    watch(head, logits)


def _before(watch: Callable[[Any, torch.Tensor], None], head: Any, given: tuple[Any, ...]) -> None:
    """For a head that could not be split: what it is given are the logits of all positions."""
    watch(head, given[0]["token_embeddings"])
