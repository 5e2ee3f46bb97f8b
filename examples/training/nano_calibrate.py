"""Set the biases of a trained model anew, with its body frozen: which terms light up, and how easily.

The largest logit of each term over a text's tokens, before the bias, does not depend on the biases. Computed once for
all training texts, it makes a step cheap enough for batches of several hundred pairs on two processor cores.
For example::

    python nano_calibrate.py --start trained/ --output model/ data/law-articles-ko data/techdocs-ko-headings
"""

import argparse
import itertools
import math
import random
from pathlib import Path

import numpy as np
import torch
from nano_descent import common_options, tokenize
from nano_model import save_model
from nano_pairs import PairSource, add_noise, cloze, read_sources
from rich.progress import track
from tokenizers import Tokenizer
from torch import Tensor, nn
from train_nano import flops
from transformers import ModernBertForMaskedLM


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__)
    parser.set_defaults(seed=7, steps=150, batch_size=384, learning_rate=0.03, document_tokens=512)
    parser.add_argument("--start", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--raise-biases", type=float, default=1.0, help="added first, so that more terms can be kept")
    parser.add_argument("--lower-only", action="store_true", help="let no bias end higher than it began")
    parser.add_argument("--query-flops", type=float, default=0.05)
    parser.add_argument("--document-flops", type=float, default=0.01)
    parser.add_argument("--held-out", type=float, default=0.08, help="share of the passages kept for the report")
    return parser.parse_args()


class Pairs:
    """The pairs of one source: which row of the queries' and passages' logits each is, and its group."""

    def __init__(
        self, source: PairSource, passage_rows: dict[str, int], queries: list[str], rng: random.Random
    ) -> None:
        """Add the source's passages and queries to the ones to encode; two queries a judged passage, one cloze."""
        self.name, self.weight = source.name, source.weight
        rows: list[tuple[int, int, str]] = []
        for index, passage in enumerate(source.passages):
            if source.cloze:
                # The passage stays whole, so that its logits serve all its pairs.
                whole = (query for query, rest in (cloze(passage, rng) for _ in range(20)) if rest == passage)
                chosen = [add_noise(query, rng) for query in itertools.islice(whole, 1)]
            else:
                chosen = list(source.queries[index])
                rng.shuffle(chosen)
            for query in chosen[:2]:
                row = passage_rows.setdefault(passage, len(passage_rows))
                rows.append((len(queries), row, source.groups[index]))
                queries.append(query)
        self.query, self.passage = (np.array([row[i] for row in rows]) for i in (0, 1))
        self.group = np.unique([row[2] for row in rows], return_inverse=True)[1]

    def alike(self, members: np.ndarray) -> Tensor:
        """Which of the members are never negatives of one another: equal passages, members of one group."""
        group, passage = self.group[members], self.passage[members]
        return torch.from_numpy((group[:, None] == group) | (passage[:, None] == passage))


@torch.inference_mode()
def pooled_logits(model: ModernBertForMaskedLM, sequences: list[list[int]], tokens_a_batch: int = 6000) -> np.ndarray:
    """Largest logit of each term over a text's tokens, without the bias, float16 (n_texts, vocabulary_size)."""
    projection = model.decoder.weight.detach().to(torch.bfloat16).t().contiguous()
    pooled = np.empty((len(sequences), projection.shape[1]), dtype=np.float16)
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    batches: list[list[int]] = [[]]
    for index in order:
        if len(batches[-1]) * len(sequences[index]) > tokens_a_batch:
            batches.append([])
        batches[-1].append(index)
    for batch in track(batches, "encoding"):
        width = max(len(sequences[index]) for index in batch)
        ids = torch.tensor([sequences[index] + [0] * (width - len(sequences[index])) for index in batch])
        lengths = torch.tensor([len(sequences[index]) for index in batch])
        mask = (torch.arange(width) < lengths[:, None]).long()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.head(model.model(input_ids=ids, attention_mask=mask).last_hidden_state)
        for row, index in enumerate(batch):
            largest = (hidden[row, : len(sequences[index])].to(torch.bfloat16) @ projection).max(dim=0).values
            pooled[index] = largest.to(torch.float16).numpy()
    return pooled


def weights(logits: np.ndarray, scale: Tensor, bias: Tensor) -> Tensor:
    """SPLADE weights of pooled logits, float32."""
    return torch.log1p(torch.relu(torch.from_numpy(logits.astype(np.float32)) * scale + bias))


def fit(
    sources: list[Pairs], queries: np.ndarray, passages: np.ndarray, start: Tensor, options: argparse.Namespace
) -> tuple[Tensor, Tensor]:
    """Return the scale of the logits and the biases that tell a question's passage best from the batch's others."""
    rng = np.random.default_rng(options.seed)
    held_out = rng.random(len(passages)) < options.held_out
    shown = [np.flatnonzero(~held_out[source.passage]) for source in sources]
    hidden = [np.flatnonzero(held_out[source.passage])[: options.batch_size] for source in sources]
    share = np.array([source.weight for source in sources])
    bias = start.clone().requires_grad_()
    log_scale = torch.zeros(1, requires_grad=True)
    groups = [
        {"params": [bias], "lr": options.learning_rate},
        {"params": [log_scale], "lr": options.learning_rate / 20},
    ]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    for step in range(options.steps + 1):
        if step % 100 == 0 or step == options.steps:
            print(f"step {step}: scale {log_scale.exp().item():.3f}")
            with torch.no_grad():
                for source, members in zip(sources, hidden, strict=True):
                    report(source, members, queries, passages, log_scale.exp(), bias)
        if step == options.steps:
            break
        drawn = rng.choice(len(sources), p=share / share.sum())
        source, pool = sources[drawn], shown[drawn]
        members = rng.choice(pool, min(options.batch_size, len(pool)), replace=False)
        ours = weights(queries[source.query[members]], log_scale.exp(), bias)
        theirs = weights(passages[source.passage[members]], log_scale.exp(), bias)
        scores = (ours @ theirs.t()).masked_fill(source.alike(members).fill_diagonal_(False), float("-inf"))
        target = torch.arange(len(members))
        loss = nn.functional.cross_entropy(scores, target) + 0.3 * nn.functional.cross_entropy(scores.t(), target)
        sparsity = options.query_flops * (flops(ours) + 0.02 * ours.sum(dim=1).mean())
        optimizer.zero_grad()
        (loss + sparsity + options.document_flops * flops(theirs)).backward()
        optimizer.step()
        schedule.step()
    return log_scale.detach().exp(), bias.detach()


def report(
    source: Pairs, members: np.ndarray, queries: np.ndarray, passages: np.ndarray, scale: Tensor, bias: Tensor
) -> None:
    """Print how well held-out questions find their passage among the held-out ones, and how many terms there are."""
    ours = weights(queries[source.query[members]], scale, bias)
    theirs = weights(passages[source.passage[members]], scale, bias)
    scores = (ours @ theirs.t()).masked_fill(source.alike(members).fill_diagonal_(False), float("-inf"))
    rank = (scores > scores.diagonal()[:, None]).sum(dim=1)
    gain = sum(1 / math.log2(2 + place) for place in rank.tolist() if place < 10)
    terms = [(vectors > 0).sum(dim=1).float().mean().item() for vectors in (ours, theirs)]
    print(f"  {source.name}: NDCG@10 {gain / len(members):.4f}, terms {terms[0]:.0f} / {terms[1]:.0f}", flush=True)


def main() -> None:
    """Fit the biases on the folders of the command line, and write the finished folder."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    rng = random.Random(options.seed)  # noqa: S311 - draws pairs, keeps no secret
    tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model = ModernBertForMaskedLM.from_pretrained(options.start, dtype=torch.float32)
    model.train(mode=False)
    passage_rows: dict[str, int] = {}
    texts: list[str] = []
    sources = [Pairs(source, passage_rows, texts, rng) for folder in options.folders for source in read_sources(folder)]
    queries = pooled_logits(model, tokenize(tokenizer, texts, options.query_tokens))
    passages = pooled_logits(model, tokenize(tokenizer, list(passage_rows), options.document_tokens))
    start = model.decoder.bias.detach().clone()
    # The special tokens are kept out by a bias far below all others.
    start[start > -20] += options.raise_biases
    scale, bias = fit(sources, queries, passages, start, options)
    if options.lower_only:
        bias = torch.minimum(bias, start)
    with torch.no_grad():
        model.decoder.bias.copy_(bias)
        model.head.get_parameter("norm.weight").mul_(scale)
    save_model(model, tokenizer, options.output, options.max_length)


if __name__ == "__main__":
    main()
