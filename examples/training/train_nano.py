"""Train the small bundled Korean SPLADE model on two CPU cores.

Run it on folders in the BEIR layout, for example::

    python train_nano.py --output model/ --seed 0 data/law-articles-ko data/techdocs-ko-headings
"""

import argparse
import math
import random
import time

import torch
from nano_cooccurrence import cooccurrence_vectors
from nano_descent import Descent, common_options, progress_display, tokenize
from nano_model import build_model, encode_for_training, save_model
from nano_pairs import Pair, PairSource, read_passages, read_sources
from nano_tokenizer import BYTE_PIECES, SPECIAL_TOKENS, train_tokenizer
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import ModernBertForMaskedLM


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__)
    parser.set_defaults(seed=0, steps=1200, batch_size=64, learning_rate=1e-3, document_tokens=256)
    parser.add_argument("--max-minutes", type=float, help="plan the schedule so that training ends after this time")
    parser.add_argument("--vocabulary-size", type=int, default=8000)
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--intermediate-size", type=int, default=512)
    parser.add_argument("--query-flops", type=float, default=1e-3)
    parser.add_argument("--document-flops", type=float, default=1e-3)
    parser.add_argument("--neighbour-share", type=float, default=0.5, help="share of passages batched with a near one")
    return parser.parse_args()


def inverse_document_frequency(tokenizer: Tokenizer, passages: list[str]) -> Tensor:
    """Return each token's inverse document frequency, scaled to 0..1, float32 (vocabulary_size,)."""
    counts = torch.zeros(tokenizer.get_vocab_size())
    for encoding in tokenizer.encode_batch(passages):
        counts[list(set(encoding.ids))] += 1
    return torch.log((1 + len(passages)) / (1 + counts)) / math.log(1 + len(passages))


def contrastive_loss(queries: Tensor, documents: Tensor, pairs: list[Pair]) -> Tensor:
    """In-batch softmax both ways; members of one group, and equal passages, are not each other's negatives."""
    scores = queries @ documents.t()
    groups = {name: number for number, name in enumerate(dict.fromkeys(pair.group for pair in pairs))}
    texts = {text: number for number, text in enumerate(dict.fromkeys(pair.passage for pair in pairs))}
    group = torch.tensor([groups[pair.group] for pair in pairs])
    text = torch.tensor([texts[pair.passage] for pair in pairs])
    same = (group[:, None] == group) | (text[:, None] == text)
    same.fill_diagonal_(False)
    scores = scores.masked_fill(same, float("-inf"))
    target = torch.arange(len(pairs))
    forward = nn.functional.cross_entropy(scores, target)
    backward = nn.functional.cross_entropy(scores.t(), target)
    return forward + 0.3 * backward


def flops(vectors: Tensor) -> Tensor:
    """FLOPS regulariser (Paria et al. 2020): the sum over terms of the squared mean weight."""
    return vectors.mean(dim=0).square().sum()


def train(
    model: ModernBertForMaskedLM, tokenizer: Tokenizer, sources: list[PairSource], options: argparse.Namespace
) -> ModernBertForMaskedLM:
    """Train and return the running average of the weights over the last part of the schedule."""
    rng = random.Random(options.seed)  # noqa: S311 - draws batches, keeps no secret
    decayed = [p for name, p in model.named_parameters() if p.dim() > 1 and "tok_embeddings" not in name]
    plain = [p for name, p in model.named_parameters() if p.dim() <= 1 or "tok_embeddings" in name]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
        lr=options.learning_rate,
        betas=(0.9, 0.98),
    )
    descent = Descent(model, optimizer, rise=100, memory=0.99)
    started, step, progress = time.monotonic(), 0, 0.0
    model.train()
    with progress_display() as display:
        task = display.add_task("training", total=options.steps)
        while progress < 1.0:
            step += 1
            progress = step / options.steps
            if options.max_minutes:
                progress = max(progress, (time.monotonic() - started) / 60 / options.max_minutes)
            source = rng.choices(sources, weights=[source.weight for source in sources])[0]
            pairs = source.batch(options.batch_size, rng, options.neighbour_share)
            queries = encode_for_training(
                model, tokenize(tokenizer, [pair.query for pair in pairs], options.query_tokens), bucket=32
            )
            documents = encode_for_training(
                model, tokenize(tokenizer, [pair.passage for pair in pairs], options.document_tokens)
            )
            contrast = contrastive_loss(queries, documents, pairs)
            ramp = min(1.0, progress / 0.35) ** 2
            sparsity = options.query_flops * (flops(queries) + 0.02 * queries.sum(dim=1).mean())
            sparsity = sparsity + options.document_flops * flops(documents)
            descent.step(contrast + ramp * sparsity, progress)
            display.update(task, completed=int(progress * options.steps))
            if step % 25 == 0 or step == 1:
                terms = [(vectors > 0).sum(dim=1).float().mean().item() for vectors in (queries, documents)]
                display.console.print(
                    f"step {step} ({time.monotonic() - started:.0f} s, {progress:.0%}) {source.name}: "
                    f"loss {contrast.item():.3f} + {sparsity.item():.3f}, terms {terms[0]:.0f} / {terms[1]:.0f}",
                    highlight=False,
                )
    return descent.average


def main() -> None:
    """Train tokenizer and model from the folders on the command line, and write the finished folder."""
    options = parse_arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    passages = [text for folder in options.folders for text in read_passages(folder).values()]
    tokenizer = train_tokenizer(passages, options.vocabulary_size)
    sources = [source for folder in options.folders for source in read_sources(folder)]
    vectors = cooccurrence_vectors(
        [encoding.ids for encoding in tokenizer.encode_batch(passages, add_special_tokens=False)],
        tokenizer.get_vocab_size(),
        options.hidden_size,
        ignored=len(SPECIAL_TOKENS) + len(BYTE_PIECES),
        seed=options.seed,
    )
    model = build_model(
        tokenizer.get_vocab_size(),
        inverse_document_frequency(tokenizer, passages),
        torch.from_numpy(vectors),
        hidden_size=options.hidden_size,
        layers=options.layers,
        intermediate_size=options.intermediate_size,
    )
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters; {len(passages):,} passages")
    for source in sources:
        print(f"  {source.name}: {len(source.passages):,} passages")
    average = train(model, tokenizer, sources, options)
    save_model(average, tokenizer, options.output, options.max_length)


if __name__ == "__main__":
    main()
