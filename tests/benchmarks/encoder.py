"""How fast, and in how much memory, PixieEncoder encodes, beside sentence-transformers' own SparseEncoder.

For example::

    python tests/benchmarks/encoder.py --output /tmp/encoder --threads 2

Without ``--model`` it makes a ModernBERT-base with random weights (149 million parameters, 50,000 terms): speed and
memory do not depend on what the weights are. Everything that is compared runs in one process, in turn; peak memory is
read in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SYLLABLES = [chr(code) for code in range(0xAC00, 0xD7A4, 11)]
PRECISIONS = ("float32", "bfloat16", "int8")


def make_model(folder: Path, **shape: int) -> Path:
    """A SPLADE model of PIXIE's size, or of another shape, with random weights and a piece a syllable."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *SYLLABLES, *(f"##{syllable}" for syllable in SYLLABLES)]
    pieces += [f"[unused{n}]" for n in range(50_000 - len(pieces))]
    backend = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=50_000, pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, **shape
    )
    network = ModernBertForMaskedLM(config).eval()
    with torch.no_grad():  # about as sparse as a trained model
        network.get_output_embeddings().weight.normal_(0, 0.05)
        network.get_output_embeddings().bias.fill_(-5.5)
    network.save_pretrained(folder / "base")
    PreTrainedTokenizerFast(
        tokenizer_object=backend, **names, mask_token="[MASK]", model_max_length=8192
    ).save_pretrained(folder / "base")
    transformer = Transformer(str(folder / "base"), transformer_task="fill-mask", max_seq_length=8192)
    SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu").save_pretrained(
        str(folder / "model"), create_model_card=False
    )
    return folder / "model"


def text(rng: random.Random, n_tokens: int) -> str:
    """Words of two to four syllables; a syllable is a token."""
    words, left = [], n_tokens - 2
    while left > 0:
        size = min(left, rng.randint(2, 4))
        words.append("".join(rng.choices(SYLLABLES, k=size)))
        left -= size
    return " ".join(words)


def medians(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median, quartiles and the speed beside the plain path: the median and quartiles of the ratio round by round."""
    figures = {}
    for name, values in seconds.items():
        ratios = sorted(plain / own for plain, own in zip(seconds["plain"], values, strict=True))
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
        figures[name] = {
            "median_s": statistics.median(values),
            "low_s": low,
            "high_s": high,
            "speed": statistics.median(ratios),
            "speed_low": ratios[len(ratios) // 4],
            "speed_high": ratios[-1 - len(ratios) // 4],
        }
    return figures


def compare(model: Path, precisions: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Latency of single queries and throughput over documents, in turn."""
    import torch
    from sentence_transformers import SparseEncoder

    from pixie_retrievers import PixieEncoder

    torch.set_num_threads(options.threads)
    plain = SparseEncoder(str(model), device="cpu", model_kwargs={"dtype": torch.float32})
    ours = {name: PixieEncoder(model, device="cpu", precision=name) for name in precisions}
    automatic = PixieEncoder(model, device="cpu").precision
    rng = random.Random(0)
    queries = [text(rng, rng.randint(8, 24)) for _ in range(options.queries)]
    seconds: dict[str, list[float]] = {name: [] for name in ("plain", *ours)}
    for query in [queries[0] + queries[1], *queries]:
        calls = [("plain", lambda: plain.encode_query(query, show_progress_bar=False))]  # noqa: B023
        calls += [(name, lambda e=encoder: e.encode_queries([query])) for name, encoder in ours.items()]  # noqa: B023
        rng.shuffle(calls)
        for name, call in calls:
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    latency = medians({name: values[1:] for name, values in seconds.items()})  # the first call warms up
    documents = [text(rng, rng.randint(20, 2000)) for _ in range(options.documents)]
    n_tokens = sum(len(ids) for ids in plain.tokenizer(documents).input_ids)
    seconds = {name: [] for name in ("plain", *ours)}
    for _ in range(options.rounds):
        began = time.perf_counter()
        plain.encode_document(documents, batch_size=options.plain_batch, show_progress_bar=False)
        seconds["plain"].append(time.perf_counter() - began)
        for name, encoder in ours.items():
            began = time.perf_counter()
            encoder.encode_documents(documents)
            seconds[name].append(time.perf_counter() - began)
    throughput = medians(seconds)
    for figures in throughput.values():
        figures["tokens_per_s"] = n_tokens / figures["median_s"]
    return {"auto": automatic, "queries": latency, "documents": throughput, "n_tokens": n_tokens}


PEAK = """
import json, random, sys
sys.path.insert(0, sys.argv[4])
import torch
from encoder import text
from pixie_retrievers import PixieEncoder
torch.set_num_threads(int(sys.argv[5]))
def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
encoder = PixieEncoder(sys.argv[1], device="cpu", precision=sys.argv[2])
encoder.encode_documents([text(random.Random(1), 20)])
texts = [text(random.Random(n), encoder.max_length) for n in range(int(sys.argv[3]))]
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
before = status("VmRSS")
encoder.encode_documents(texts)
print(json.dumps([before, status("VmHWM") - before]))
"""


def peak(model: Path, precision: str, n_texts: int, threads: int) -> dict[str, float]:
    """Resident memory before texts of full length are encoded, and how much more while they are (Linux)."""
    arguments = [str(model), precision, str(n_texts), str(Path(__file__).parent), str(threads)]
    done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
    before, above = json.loads(done.stdout.splitlines()[-1])
    return {"n_texts": n_texts, "before_mb": before / 1e6, "above_mb": above / 1e6}


def table(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"{results['threads']} threads; `auto` is {results.get('auto', '?')} here.",
        "",
        "| | query, median ms (quartiles) | speed (quartiles) | documents, tokens/s | speed (quartiles) |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, query in results.get("queries", {}).items():
        documents = results["documents"][name]
        cells = [f"{query['median_s'] * 1e3:.1f} ({query['low_s'] * 1e3:.1f}-{query['high_s'] * 1e3:.1f})"]
        cells += [
            f"{figures['speed']:.2f} ({figures['speed_low']:.2f}-{figures['speed_high']:.2f})"
            for figures in (query, documents)
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {documents['tokens_per_s']:.0f} | {cells[2]} |")
    if results.get("memory"):
        lines += ["", "| peak memory | texts of full length | before, MB | above, MB |", "|---|---:|---:|---:|"]
        lines += [
            f"| {name} | {row['n_texts']} | {row['before_mb']:.0f} | {row['above_mb']:.0f} |"
            for name, rows in results["memory"].items()
            for row in rows
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a SPLADE model's folder; left out: a random one of PIXIE's size")
    parser.add_argument("--output", type=Path, required=True, help="encoder.json and encoder.md go there")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--documents", type=int, default=16, help="of 20 to 2,000 tokens")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain-batch", type=int, default=4, help="32, its default, takes 26 GB here")
    parser.add_argument("--memory", default="", help="so many texts of full length, as 1,32; left out: none")
    options = parser.parse_args()
    precisions = options.precisions.split(",")
    results: dict[str, Any] = {"threads": options.threads}
    with TemporaryDirectory() as folder:
        model = options.model or make_model(Path(folder))
        if options.queries > 0:
            results |= compare(model, precisions, options)
        counts = [int(count) for count in options.memory.split(",") if count]
        results["memory"] = {
            name: [peak(model, name, count, options.threads) for count in counts] for name in precisions if counts
        }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "encoder.json").write_text(json.dumps(results, indent=2) + "\n")
    (options.output / "encoder.md").write_text(table(results))
    sys.stdout.write(table(results))


if __name__ == "__main__":
    main()
