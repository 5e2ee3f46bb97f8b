"""PixieEncoder on a GPU: equal to the plain path, how fast beside it, in how much memory, and where the time goes.

For example::

    python tests/benchmarks/gpu.py --output /tmp/gpu

It makes a ModernBERT-base with random weights (149 million parameters, 50,000 terms): speed and memory do not depend on
what the weights are. Everything that is compared runs in one process, in turn.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from encoder import make_model, text

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.packing import Packing

COLD = """
import sys, time
began = time.perf_counter()
from pixie_retrievers import PixieEncoder
encoder = PixieEncoder(sys.argv[1], device=sys.argv[2])
loaded = time.perf_counter()
encoder.encode_queries([sys.argv[3]])
print(loaded - began, time.perf_counter() - began)
"""


def timed(call: Callable[[], Any], device: str) -> float:
    began = time.perf_counter()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def say(name: str, value: Any) -> None:
    print(name, json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value, flush=True)  # noqa: T201


class Measurements:
    """What is measured, in the order of its methods; each puts its figures into ``found``."""

    def __init__(self, options: argparse.Namespace, model: Path) -> None:
        from sentence_transformers import SparseEncoder

        self.options, self.model, self.device = options, model, options.device
        self.found: dict[str, Any] = {"torch": torch.__version__}
        if self.device != "cpu":
            self.found["gpu"] = torch.cuda.get_device_name()
        rng = random.Random(0)
        scale = options.scale
        self.sets = {
            "long": [text(rng, rng.randint(20, 2000)) for _ in range(int(1000 * scale))],
            "short": [text(rng, rng.randint(60, 400)) for _ in range(int(4000 * scale))],
        }
        self.questions = [text(rng, rng.randint(8, 24)) for _ in range(40)]
        self.mixed = [text(rng, rng.choice([3, 17, 64, 65, 130, 300, 900])) for _ in range(200)]
        self.plain = {
            name: SparseEncoder(str(model), device=self.device, model_kwargs={"dtype": getattr(torch, name)})
            for name in ("float32", "bfloat16")
        }

    def ours(self, precision: str, **arguments: Any) -> PixieEncoder:
        return PixieEncoder(self.model, device=self.device, precision=precision, **arguments)

    def agreement(self) -> None:
        """The largest difference in any weight, over 200 texts of mixed length."""
        special = self.plain["float32"].tokenizer.all_special_ids

        def of_plain(precision: str) -> np.ndarray[Any, Any]:
            found = self.plain[precision].encode_document(self.mixed, batch_size=8, show_progress_bar=False)
            weights: np.ndarray[Any, Any] = found.to_dense().float().cpu().numpy()
            weights[:, special] = 0
            return weights

        expected = of_plain("float32")
        differences = {"plain bfloat16": float(np.abs(of_plain("bfloat16") - expected).max())}
        for precision in ("float32", "bfloat16", "float16"):
            encoder = self.ours(precision)
            found = encoder.encode_documents(self.mixed).to_scipy().toarray()
            differences[precision] = float(np.abs(found - expected).max())
            singly = np.concatenate([encoder.encode_queries([one]).to_scipy().toarray() for one in self.mixed[:60]])
            differences[f"{precision}, one by one and together"] = float(np.abs(singly - found[:60]).max())
            passes: Any = encoder._streams["document"].passes
            if passes._is_fused:
                passes._is_fused = False
                blocks = encoder.encode_documents(self.mixed).to_scipy().toarray()
                differences[f"{precision}, kernel and blocks"] = float(np.abs(found - blocks).max())
        differences["largest weight"] = float(expected.max())
        differences["terms a text"] = float((expected > 0).sum(axis=1).mean())
        self.found["agreement"] = differences

    def documents(self) -> None:
        """Tokens a second over both sets, in turn."""
        encoder = self.ours("auto")
        self.found["documents"] = {}
        for name, texts in self.sets.items():
            fewer = texts[: max(1, len(texts) // 4)]
            n_tokens, n_fewer = (sum(encoder.count_tokens(some)) for some in (texts, fewer))
            speeds: dict[str, list[float]] = {}
            for _ in range(self.options.rounds + 1):
                speeds.setdefault("ours", []).append(
                    n_tokens / timed(lambda: encoder.encode_documents(texts), self.device)  # noqa: B023
                )
                for precision, plain in self.plain.items():
                    took = timed(lambda p=plain: p.encode_document(fewer, show_progress_bar=False), self.device)  # noqa: B023
                    speeds.setdefault(f"plain {precision}", []).append(n_fewer / took)
            # The first round warms up.
            self.found["documents"][name] = {key: spread(values[1:]) for key, values in speeds.items()}
            say(name, self.found["documents"][name])

    def one_question(self) -> None:
        """Milliseconds from a question to its sparse vector, in turn."""
        encoders = {precision: self.ours(precision) for precision in ("auto", "float32")}
        took: dict[str, list[float]] = {}
        for question in self.questions:
            for name, encoder in encoders.items():
                ask = lambda e=encoder, q=question: e.encode_queries([q])
                took.setdefault(name, []).append(1e3 * timed(ask, self.device))
            for name, plain in self.plain.items():
                call = lambda p=plain, q=question: p.encode_query(q, show_progress_bar=False)
                took.setdefault(f"plain {name}", []).append(1e3 * timed(call, self.device))
        self.found["question_first_ms"] = {name: values[0] for name, values in took.items()}
        self.found["question_ms"] = {name: spread(values[10:]) for name, values in took.items()}

    def memory(self) -> None:
        """Gigabytes at most while 32 texts of 8,192 tokens are encoded, above what the model takes."""
        if self.device == "cpu":
            return
        texts = [text(random.Random(n), 8192) for n in range(32)]
        encoder = self.ours("auto")
        encoder.encode_documents(texts[:1])
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        took = timed(lambda: encoder.encode_documents(texts), self.device)
        peak = torch.cuda.max_memory_allocated()
        self.found["memory"] = {
            "peak_gb": peak / 1e9, "above_gb": (peak - before) / 1e9, "tokens_per_s": 32 * 8192 / took,
        }  # fmt: skip

    def cold(self) -> None:
        """Seconds from a new process to a loaded model, and to its first answer."""
        arguments = [sys.executable, "-c", COLD, str(self.model), self.device, self.questions[0]]
        runs = []
        for _ in range(2):
            done = subprocess.run(arguments, capture_output=True, text=True, check=True)
            runs.append([float(number) for number in done.stdout.split()])
        self.found["cold_s"] = runs

    def parts(self) -> None:
        """Milliseconds of body and head for one full batch, and the longest of their kernels."""
        if self.device == "cpu":
            return
        encoder = self.ours("auto")
        passes: Any = encoder._streams["document"].passes
        readings = encoder._vocabulary.read(self.sets["short"][:400])
        group = next(passes.groups(iter([readings])))
        network, head = passes._network, passes._head
        packing = Packing.of([reading.ids for reading in group], network.device)

        def least(call: Callable[[], Any]) -> float:
            call()
            return min(1e3 * timed(call, self.device) for _ in range(7))

        found: dict[str, Any] = {"tokens": packing.ends[-1], "texts": len(group)}
        with torch.inference_mode():
            found["body, torch's kernels"] = least(lambda: network(packing))
            network.fuse()
            found["body"] = least(lambda: network(packing))
            hidden = network(packing)
            found["head, blocks"] = least(lambda: head.pooled(hidden, packing))
            found["head"] = least(lambda: head.pooled(hidden, packing, fused=True))
            found["head, bare product of half"] = least(lambda: hidden[:32768] @ head.decoder.weight.T)
            pooled = head.pooled(hidden, packing, fused=True)
            found["what is kept"] = least(lambda: passes._sparsify(pooled))
            found["reading, host"] = least(lambda: encoder._vocabulary.read(self.sets["short"][: len(group)]))
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
                head.pooled(network(packing), packing, fused=True)
                torch.cuda.synchronize()
        self.found["parts_ms"] = found
        kernels = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
        totals: dict[str, float] = {}
        for kernel in kernels:
            totals[kernel.name[:70]] = totals.get(kernel.name[:70], 0) + kernel.device_time_total / 1e3
        self.found["profile_ms"] = dict(sorted(totals.items(), key=lambda item: -item[1])[:16])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a folder with a model, or to keep the one that is made")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of both sets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a model of two layers, to try this script")
    parser.add_argument(
        "--only", nargs="*", default=["agreement", "documents", "one_question", "memory", "cold", "parts"]
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_hidden_layers": 2}
    with TemporaryDirectory() as folder:
        model = options.model or Path(folder) / "model"
        if not model.is_dir():
            model = make_model(model.parent, **shape if options.small else {})
        measurements = Measurements(options, model)
        for name in options.only:
            began = time.perf_counter()
            try:
                getattr(measurements, name)()
            except Exception as error:  # noqa: BLE001  # what else was measured is worth having
                measurements.found[name] = repr(error)
                say(f"{name} failed", repr(error))
                import traceback

                traceback.print_exc()
            say(f"{name} took", round(time.perf_counter() - began, 1))
            (options.output / "gpu.json").write_text(json.dumps(measurements.found, indent=2), encoding="utf-8")
    say("found", json.dumps(measurements.found, indent=1))


if __name__ == "__main__":
    main()
