"""Measure a sparse model on BEIR folders the way the model card's evaluators do (NDCG, top 10, linear gain).

For example::

    python nano_evaluate.py model/ data/korquad1-dev data/kobest-boolq --show-expansions
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytrec_eval
from nano_pairs import read_qrels
from rich.console import Console
from rich.table import Table
from scipy import sparse
from sentence_transformers import SparseEncoder

_SHOWN_QUERIES = (
    "인공위성을 처음 발사한 나라",
    "전세 보증금을 돌려받는 방법",
    "파이썬에서 리스트와 튜플의 차이",
    "감기에 걸렸을 때 좋은 음식",
    "대한민국의 수도는 어디인가?",
    "음주운전 처벌 기준",
    "머신러닝 과적합을 막으려면",
    "내일 서울 날씨 알려줘",
    "개인정보 유출 시 신고 의무",
    "임진왜란 때 이순신 장군의 해전",
)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder (or hub name)")
    parser.add_argument("folders", nargs="*", type=Path, help="evaluation folders in the BEIR layout")
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, help="only this many queries, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-length", type=int, help="another max_seq_length than the model's own")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--show-expansions", action="store_true", help="print the terms of ten short queries")
    return parser.parse_args()


def encode(model: SparseEncoder, texts: list[str], *, queries: bool, batch_size: int) -> sparse.csr_matrix:
    """Encode texts into a float32 CSR matrix (n_texts, vocabulary size)."""
    call = model.encode_query if queries else model.encode_document
    vectors = call(texts, batch_size=batch_size, show_progress_bar=True, convert_to_tensor=True).coalesce()
    rows, columns = vectors.indices().cpu().numpy()
    return sparse.csr_matrix((vectors.values().float().cpu().numpy(), (rows, columns)), shape=tuple(vectors.shape))


def top_ten(queries: sparse.csr_matrix, documents: sparse.csr_matrix) -> list[list[tuple[int, float]]]:
    """Return for each query its ten best documents that share a term with it, best first, ties in document order."""
    results = []
    transposed = documents.T.tocsr()
    for start in range(0, queries.shape[0], 256):
        for scores in (queries[start : start + 256] @ transposed).toarray():
            best = np.argsort(-scores, kind="stable")[:10]
            results.append([(int(index), float(scores[index])) for index in best if scores[index] > 0])
    return results


def evaluate(model: SparseEncoder, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Evaluate one folder: NDCG at 1, 3, 5 and 10, median active terms, encoding speed."""
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        texts = {row["_id"]: row["text"] for row in map(json.loads, lines)}
    relevant: dict[str, dict[str, int]] = {}
    for query_id, passage_id in read_qrels(folder / "qrels" / f"{options.split}.tsv"):
        relevant.setdefault(query_id, {})[passage_id] = 1
    query_ids = sorted(relevant)
    if options.queries and options.queries < len(query_ids):
        query_ids = random.Random(options.seed).sample(query_ids, options.queries)  # noqa: S311 - a sample
    started = time.monotonic()
    documents = encode(
        model,
        [f"{row.get('title', '')} {row['text']}".strip() for row in rows],
        queries=False,
        batch_size=options.batch_size,
    )
    speed = len(rows) / (time.monotonic() - started)
    queries = encode(model, [texts[query_id] for query_id in query_ids], queries=True, batch_size=options.batch_size)
    run = {
        query_id: {rows[index]["_id"]: score for index, score in hits}
        for query_id, hits in zip(query_ids, top_ten(queries, documents), strict=True)
    }
    judge = pytrec_eval.RelevanceEvaluator(
        {query_id: relevant[query_id] for query_id in query_ids}, {"ndcg_cut.1,3,5,10"}
    )
    judged = judge.evaluate(run)
    # A query without any hit is missing from the judge's answer, and counts as zero.
    measures = {
        f"NDCG@{k}": sum(judged.get(query_id, {}).get(f"ndcg_cut_{k}", 0.0) for query_id in query_ids) / len(query_ids)
        for k in (1, 3, 5, 10)
    }
    return {
        **measures,
        "query terms": float(np.median(np.diff(queries.indptr))),
        "document terms": float(np.median(np.diff(documents.indptr))),
        "passages/s": speed,
    }


def show_expansions(model: SparseEncoder, console: Console) -> None:
    """Print the twelve heaviest terms of some short queries."""
    for query in _SHOWN_QUERIES:
        vector = encode(model, [query], queries=True, batch_size=1)
        order = np.argsort(-vector.data)[:12]
        terms = model.tokenizer.convert_ids_to_tokens(vector.indices[order].tolist())
        shown = ", ".join(f"{term} {weight:.2f}" for term, weight in zip(terms, vector.data[order], strict=True))
        console.print(f"{query} ({vector.nnz} terms): {shown}", highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Evaluate a model on the folders of the command line."""
    options = parse_arguments()
    # Redirected output is 80 columns wide otherwise, too narrow for the table.
    console = Console(width=None if sys.stdout.isatty() else 120)
    model = SparseEncoder(options.model, device="cpu", local_files_only=Path(options.model).exists())
    if options.max_length:
        model.max_seq_length = options.max_length
    if options.show_expansions:
        show_expansions(model, console)
    table = Table("set")
    for number, folder in enumerate(options.folders):
        figures = evaluate(model, folder, options)
        if number == 0:
            for name in figures:
                table.add_column(name, justify="right")
        table.add_row(
            folder.name, *(f"{value:.4f}" if "@" in name else f"{value:.0f}" for name, value in figures.items())
        )
    if options.folders:
        console.print(table)


if __name__ == "__main__":
    main()
