"""Teach the small model vectors that match words as BM25 does and expand only into words that belong to the text.

A passage's taught weight of a token it holds is what the model gives it already plus what BM25 would: that is how the
model learns how often a word stands in a long page. The expansions are words that the training passages associate with
the text's words. Everything else should be zero. For example::

    python nano_distil.py --start calibrated/ --output model/ data/law-articles-ko data/techdocs-ko-headings
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from nano_association import Association
from nano_calibrate import Pairs, pooled_logits
from nano_counting import add_counting_head
from nano_descent import Descent, common_options, progress_display, tokenize
from nano_model import max_pooled_logits, save_model
from nano_pairs import PairSource, read_passages, read_sources
from scipy import sparse
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import ModernBertForMaskedLM

_K1, _B, _USUAL_LENGTH = 1.5, 0.75, 200.0
"""BM25's parameters (Robertson and Zaragoza 2009); a model cannot know a collection's mean length, so it is fixed."""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__)
    parser.set_defaults(seed=11, steps=1500, batch_size=64, learning_rate=6e-4, document_tokens=1024)
    parser.add_argument("--start", type=Path, required=True, help="folder of the calibrated model")
    parser.add_argument("--teacher", type=Path, help="the model whose weights are taught, when it is not --start")
    parser.add_argument("--counting-head", type=int, help="give this head of the first layer over to counting first")
    parser.add_argument("--batch-tokens", type=int, default=7000, help="a batch's passages have at most so many tokens")
    parser.add_argument("--literal-weight", type=float, default=3.0, help="what weights of a text's own tokens count")
    parser.add_argument("--page-weight", type=float, default=1.0, help="how much oftener long pages are drawn")
    parser.add_argument("--query-expansions", type=int, default=10)
    parser.add_argument("--document-expansions", type=int, default=24)
    return parser.parse_args()


@dataclass(frozen=True, slots=True)
class Taught:
    """The vectors that texts are taught: weights of tokens in the text, and of the words it is expanded into.

    Each is float32, shape (n_texts, vocabulary_size).
    """

    sequences: list[list[int]]
    literal: sparse.csr_matrix
    expansion: sparse.csr_matrix

    def rows(self, members: np.ndarray) -> tuple[list[list[int]], Tensor, Tensor]:
        """The token sequences and dense vectors of some of the texts."""
        literal, expansion = (torch.from_numpy(part[members].toarray()) for part in (self.literal, self.expansion))
        return [self.sequences[member] for member in members], literal, expansion


def pages(folder: Path, tokenizer: Tokenizer, rng: random.Random, weight: float) -> PairSource:
    """Long pages made of passages that follow one another, of 250 to 900 tokens, with cloze queries."""
    texts: list[str] = []
    page: list[str] = []
    length, wanted = 0, rng.uniform(250, 900)
    passages = list(read_passages(folder).values())
    for passage, encoding in zip(passages, tokenizer.encode_batch(passages), strict=True):
        page.append(passage)
        length += len(encoding.ids)
        if length >= wanted:
            texts.append("\n".join(page))
            page, length, wanted = [], 0, rng.uniform(250, 900)
    return PairSource(
        name=f"{folder.name} (pages)",
        passages=texts,
        queries=[],
        groups=[str(number) for number in range(len(texts))],
        neighbours=np.empty((0, 0), dtype=np.int64),
        cloze=True,
        weight=weight * math.sqrt(len(texts)),
    )


def bm25(sequences: list[list[int]], size: int) -> sparse.csr_matrix:
    """BM25's share of each token of a passage, without the idf, float32 (n_passages, size); 1 for an usual one."""
    counts = []
    for ids in sequences:
        terms, found = np.unique(ids, return_counts=True)
        length = 1.0 - _B + _B * len(ids) / _USUAL_LENGTH
        counts.append((terms, (found * (_K1 + 1.0) / (found + _K1 * length)).astype(np.float32)))
    rows = np.repeat(np.arange(len(counts)), [len(terms) for terms, _ in counts])
    columns, values = (np.concatenate([part[i] for part in counts]) for i in (0, 1))
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(sequences), size))


def taught_vectors(
    model: ModernBertForMaskedLM, sequences: list[list[int]], association: Association, options: argparse.Namespace
) -> tuple[Taught, Taught]:
    """Return what the texts are taught as queries, and as passages."""
    logits = pooled_logits(model, sequences)
    bias = model.decoder.bias.detach().numpy()
    size = len(bias)
    matching = bm25(sequences, size)
    literal = matching.copy()
    rows = np.repeat(np.arange(len(sequences)), np.diff(literal.indptr))
    raw = logits[rows, literal.indices].astype(np.float32) + bias[literal.indices]
    literal.data = np.log1p(np.maximum(raw, 0.0))
    passages = literal.copy()
    passages.data = np.where(literal.data > 0.0, 0.6 * (literal.data + matching.data), 0.0).astype(np.float32)
    literal.eliminate_zeros()
    passages.eliminate_zeros()
    related = association.expansions(sequences, options.query_expansions, 0.15)
    related.data = (0.1 + 0.5 * related.data).astype(np.float32)
    wide = association.expansions(sequences, options.document_expansions, 0.15)
    highest = np.maximum(wide.max(axis=1).toarray().ravel(), 1e-6)
    wide.data = (0.1 + 0.3 * wide.data / np.repeat(highest, np.diff(wide.indptr))).astype(np.float32)
    return Taught(sequences, literal, related), Taught(sequences, passages, wide)


def batches(
    sources: list[Pairs], lengths: np.ndarray, options: argparse.Namespace
) -> Iterator[tuple[Pairs, np.ndarray]]:
    """Endless batches, each of one source: as many pairs as the token budget takes, no passage twice in a row."""
    rng = np.random.default_rng(options.seed)
    share = np.array([source.weight for source in sources])
    waiting: list[list[int]] = [[] for _ in sources]
    while True:
        drawn = rng.choice(len(sources), p=share / share.sum())
        source, members, tokens = sources[drawn], [], 0
        while len(members) < min(options.batch_size, len(source.passage)):
            if not waiting[drawn]:
                waiting[drawn] = rng.permutation(len(source.passage)).tolist()
            tokens += int(lengths[source.passage[waiting[drawn][-1]]])
            if tokens > options.batch_tokens and members:
                break
            members.append(waiting[drawn].pop())
        yield source, np.array(members)


def distance(logits: Tensor, literal: Tensor, expansion: Tensor, literal_weight: float) -> tuple[Tensor, Tensor]:
    """How far vectors are from the taught ones, and the vectors.

    Args:
        logits: float32, shape (n_texts, vocabulary_size); negative ones count where the taught weight is not zero.
        literal: Taught weights of the texts' own tokens, same shape.
        expansion: Taught weights of other words, same shape.
        literal_weight: What the texts' own tokens count.
    """
    vectors = torch.log1p(logits.clamp_min(0.0))
    # Below zero a weight goes on falling, so that a token that should light up is told so.
    reached = logits.sign() * torch.log1p(logits.abs())
    own, other = literal > 0, expansion > 0
    literal_loss = (reached - literal)[own].square().sum() / literal.square().sum()
    expansion_loss = nn.functional.smooth_l1_loss(reached[other], expansion[other], beta=0.2, reduction="sum")
    stray = vectors[~(own | other)].sum() / (literal.sum() + expansion.sum())
    return literal_weight * literal_loss + 0.15 * expansion_loss / expansion.sum().clamp_min(1e-3) + stray, vectors


def ranking_loss(scores: Tensor, taught: Tensor, alike: Tensor) -> Tensor:
    """How far a batch's ranking is from the taught one, and from the pairs' own truth."""
    # Equal passages and members of one group are not each other's negatives.
    scores, taught = (x.masked_fill(alike, -1e4) for x in (scores, taught))
    taught_loss = nn.functional.kl_div(
        scores.log_softmax(dim=1), taught.log_softmax(dim=1), reduction="batchmean", log_target=True
    )
    return 0.5 * taught_loss + 0.2 * nn.functional.cross_entropy(scores, torch.arange(len(scores)))


def distil(
    model: ModernBertForMaskedLM,
    sources: list[Pairs],
    queries: Taught,
    passages: Taught,
    options: argparse.Namespace,
) -> ModernBertForMaskedLM:
    """Train and return the running average of the weights over the last part of the schedule."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    descent = Descent(model, optimizer, rise=50, memory=0.98)
    drawn = batches(sources, np.array([len(ids) for ids in passages.sequences]), options)
    started = time.monotonic()
    model.train()
    with progress_display() as display:
        task = display.add_task("distilling", total=options.steps)
        for step in range(1, options.steps + 1):
            source, members = next(drawn)
            asked, asked_literal, asked_expansion = queries.rows(source.query[members])
            held, held_literal, held_expansion = passages.rows(source.passage[members])
            ours, ours_vectors = distance(
                max_pooled_logits(model, asked, (asked_literal + asked_expansion) > 0, bucket=32),
                asked_literal,
                asked_expansion,
                options.literal_weight,
            )
            theirs, their_vectors = distance(
                max_pooled_logits(model, held, (held_literal + held_expansion) > 0),
                held_literal,
                held_expansion,
                options.literal_weight,
            )
            ranking = ranking_loss(
                ours_vectors @ their_vectors.t(),
                (asked_literal + asked_expansion) @ (held_literal + held_expansion).t(),
                source.alike(members).fill_diagonal_(False),
            )
            descent.step(ours + theirs + ranking, step / options.steps)
            display.update(task, completed=step)
            if step % 25 == 0 or step == 1:
                terms = [(x > 0).sum(dim=1).float().mean().item() for x in (ours_vectors, their_vectors)]
                display.console.print(
                    f"step {step} ({time.monotonic() - started:.0f} s) {source.name}: queries {ours.item():.3f}, "
                    f"passages {theirs.item():.3f}, ranking {ranking.item():.3f}, "
                    f"terms {terms[0]:.0f} / {terms[1]:.0f}",
                    highlight=False,
                    soft_wrap=True,
                )
    return descent.average


def main() -> None:
    """Teach the model of the command line, and write the finished folder."""
    options = parse_arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    rng = random.Random(options.seed)  # noqa: S311 - draws pairs, keeps no secret
    tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model, teacher = (
        ModernBertForMaskedLM.from_pretrained(folder, dtype=torch.float32)
        for folder in (options.start, options.teacher or options.start)
    )
    teacher.train(mode=False)
    passage_rows: dict[str, int] = {}
    texts: list[str] = []
    found = [source for folder in options.folders for source in read_sources(folder)]
    found += [
        page
        for folder in options.folders
        if len((page := pages(folder, tokenizer, rng, options.page_weight)).passages) >= 50
    ]
    sources = [Pairs(source, passage_rows, texts, rng) for source in found]
    for source in sources:
        print(f"  {source.name}: {len(source.passage):,} pairs")
    association = Association(
        tokenizer,
        [
            encoding.ids
            for folder in options.folders
            # A line of conversation says nothing about which words belong together.
            for encoding in tokenizer.encode_batch(
                [passage for passage in read_passages(folder).values() if len(passage) >= 60], add_special_tokens=False
            )
        ],
    )
    queries, _ = taught_vectors(teacher, tokenize(tokenizer, texts, options.query_tokens), association, options)
    _, passages = taught_vectors(
        teacher, tokenize(tokenizer, list(passage_rows), options.document_tokens), association, options
    )
    if options.counting_head is not None:
        add_counting_head(model, options.counting_head)
    average = distil(model, sources, queries, passages, options)
    save_model(average, tokenizer, options.output, options.max_length)


if __name__ == "__main__":
    main()
