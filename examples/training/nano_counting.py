"""A circuit that counts: the more rarely a token stands in a text, for the text's length, the less it weighs.

That is half of what BM25 knows, and what a small model did not find out by itself in 2,000 steps: attention that
starts at random spreads evenly, and the last normalisation gives every token's vector the same length, so that there is
nothing to grow by. Put in by hand it takes one head and some hidden units, and training goes on from there:

1. An attention head whose queries and keys are one projection of the embeddings. It puts about
   ``m = n e^match / (n e^match + length)`` of its attention on a token's n occurrences: BM25's saturation.
2. The head takes what the token has in a subspace away from it, m times; ``1 - m`` of it stays.
3. Pairs of hidden units of the layer's gated feed-forward part square what stays, because ``gelu(z) z + gelu(-z) (-z)``
   is ``z^2``, and write the sum along a direction that no embedding has. The last normalisation then shrinks all else.
"""

import torch
from nano_tokenizer import BYTE_PIECES, SPECIAL_TOKENS
from torch import Tensor
from transformers import ModernBertForMaskedLM

_FAST_SHARE = 3 / 8
"""Rotary positions turn the first pairs of a head's dimensions so fast that equal tokens no longer match a few hundred
tokens apart; that share of them is left out."""


def add_counting_head(
    model: ModernBertForMaskedLM,
    head: int,
    *,
    match: float = 4.0,
    amount: float = 75.0,
    scale: float = 1.05,
    seed: int = 0,
) -> None:
    """Give one head of the first layer, which attends globally, over to counting.

    Args:
        model: Changed in place: the head, the feed-forward units of the layer that did least, the scale of the logits,
            and the embeddings, which lose one of their weakest directions.
        head: Which head; what it did before is lost.
        match: The mean score of a token with itself, before the softmax; others score 0 with a deviation near 0.6.
        amount: The length of what is written for a token that nothing was taken from.
        scale: What the logits are multiplied by, against the shrinking.
        seed: Draws the subspaces.
    """
    layer = model.model.layers[0]
    size = model.config.hidden_size
    width = size // model.config.num_attention_heads
    half, taken = width // 2, width * 3 // 4
    first = int(half * _FAST_SHARE)
    with torch.no_grad():
        embeddings = model.get_input_embeddings().get_parameter("weight")
        # Special tokens and bytes were hardly trained.
        seen = model.model.embeddings.norm(embeddings)[len(SPECIAL_TOKENS) + len(BYTE_PIECES) :].double()
        mean = seen.mean(dim=0)
        variances, directions = torch.linalg.eigh((seen - mean).t() @ (seen - mean) / len(seen))
        drawn = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        rotation = torch.linalg.qr(drawn)[0]
        # In whitened space words that are related are told apart as well as any others.
        stretch = variances.clamp_min(1e-3 * variances.max()).rsqrt()
        projection = rotation[: 2 * (half - first)] @ directions @ torch.diag(stretch) @ directions.t()
        # What all tokens share would draw attention to whichever has most of it.
        projection -= torch.outer(projection @ mean, mean) / mean.dot(mean)
        score = (seen @ projection.t()).square().sum(dim=1).mean() / width**0.5
        projection *= (match / score).sqrt()
        subspace = rotation[-taken:].float()
        # The weakest direction of all is the one that the normalisation takes out.
        written = directions[:, 1].float()
        _attend(layer.attn, head, width, projection.float(), subspace)
        _square(layer.mlp, subspace / layer.mlp_norm.weight, amount / taken * written)
        embeddings -= torch.outer(embeddings @ written, written)
        model.head.get_parameter("norm.weight").mul_(scale)


def _attend(attention: torch.nn.Module, head: int, width: int, projection: Tensor, subspace: Tensor) -> None:
    """Queries and keys are the projection; what is attended to is taken away in the subspace."""
    joint, output = attention.get_parameter("Wqkv.weight"), attention.get_parameter("Wo.weight")
    queries, keys, values = (part[head * width : (head + 1) * width] for part in joint.chunk(3))
    half = width // 2
    pairs = torch.arange(half - len(projection) // 2, half)
    for rows in (queries, keys):
        rows.zero_()
        rows[torch.cat([pairs, half + pairs])] = projection
    values.zero_()
    values[: len(subspace)] = subspace
    output[:, head * width : (head + 1) * width] = 0.0
    output[:, head * width : head * width + len(subspace)] = -subspace.t()


def _square(feed_forward: torch.nn.Module, subspace: Tensor, written: Tensor) -> None:
    """The units that did least now write the squared length of what the input has in the subspace."""
    inner, output = feed_forward.get_parameter("Wi.weight"), feed_forward.get_parameter("Wo.weight")
    activated, gates = inner.chunk(2)
    use = output.norm(dim=0) * activated.norm(dim=1) * gates.norm(dim=1)
    units = use.argsort()[: 2 * len(subspace)]
    both = torch.cat([subspace, -subspace])
    activated[units] = both
    gates[units] = both
    output[:, units] = written[:, None]
