"""The scripts that trained the bundled model, on a handful of passages: what they write is a model that loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pixie_retrievers import PixieEncoder

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "pixie_retrievers" / "cli" / "demo_corpus"


@pytest.fixture
def folder(tmp_path):
    """The demo corpus in the BEIR layout, each passage cut in two so that there are enough."""
    made = tmp_path / "little"
    (made / "qrels").mkdir(parents=True)
    passages, questions = (
        [json.loads(line) for line in (CORPUS / name).read_text(encoding="utf-8").splitlines()]
        for name in ("passages.jsonl", "questions.jsonl")
    )
    rows = []
    for passage in passages:
        middle = passage["text"].find(" ", len(passage["text"]) // 2)
        rows.append({"_id": passage["id"], "title": passage["title"], "text": passage["text"][:middle]})
        rows.append({"_id": passage["id"] + "-b", "text": passage["text"][middle + 1 :]})
    asked = [{"_id": question["id"], "text": question["text"]} for question in questions]
    for name, content in (("corpus", rows), ("queries", asked)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in content]
        (made / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    judged = [f"{question['id']}\t{question['relevant'][0]}\t1\n" for question in questions if question["relevant"]]
    (made / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged), encoding="utf-8")
    return made


def test_each_stage_of_training_writes_a_model_that_loads(folder, tmp_path):
    def run(script, *arguments):
        command = [sys.executable, str(ROOT / "examples" / "training" / script), *map(str, arguments), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
        assert done.returncode == 0, done.stderr[-2000:]

    size = ("--vocabulary-size", 1500, "--hidden-size", 64, "--layers", 2, "--intermediate-size", 64)
    stages = trained, calibrated, distilled, finished = [
        tmp_path / name for name in ("trained", "calibrated", "distilled", "finished")
    ]
    run("train_nano.py", "--output", trained, "--steps", 3, "--batch-size", 8, *size)
    run("nano_calibrate.py", "--start", trained, "--output", calibrated, "--steps", 2, "--batch-size", 16)
    few = ("--steps", 3, "--batch-size", 8)
    run("nano_distil.py", "--start", calibrated, "--output", distilled, *few, "--counting-head", 1)
    lower = ("--steps", 2, "--batch-size", 16, "--raise-biases", 0, "--lower-only")
    run("nano_calibrate.py", "--start", distilled, "--output", finished, *lower)
    texts = ["위성 영상으로 홍수를 살핀다."]
    vectors = [PixieEncoder(stage, device="cpu").encode_documents(texts) for stage in stages]
    assert all(vector.vocabulary_size == 1500 and len(vector.term_ids) > 0 for vector in vectors)
    assert not np.array_equal(vectors[1].weights, vectors[2].weights)
    before, after = (load_file(stage / "model.safetensors")["decoder.bias"] for stage in (distilled, finished))
    assert (after <= before).all()
    assert (after < before).any()


def test_a_counting_head_looks_at_its_like_and_lets_a_frequent_token_weigh_more(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "training"))
    import torch
    from nano_counting import add_counting_head
    from nano_model import build_model

    torch.manual_seed(0)
    related = torch.nn.functional.normalize(torch.randn(2000, 256), dim=1)
    model = build_model(2000, torch.rand(2000), related)
    model.train(mode=False)
    model.set_attn_implementation("eager")
    drawn = torch.randperm(1700) + 300
    once, often = drawn[:200], drawn[:50].repeat(4)

    def measure(ids, head=1):
        """The mean attention of the first 50 tokens on their like, and their mean logits for themselves."""
        with torch.inference_mode():
            found = model(input_ids=ids[None], output_attentions=True)
        attention = found.attentions[0][0, head] * (ids[:, None] == ids)
        logits = found.logits[0, range(50), ids[:50]]
        return attention.sum(dim=1)[:50].mean().item(), logits.mean().item()

    assert measure(once)[0] < 0.02
    assert measure(often)[0] < 0.08
    assert abs(measure(often)[1] - measure(once)[1]) < 0.2
    add_counting_head(model, 1)
    # n e^4 / (n e^4 + 200), other tokens' scores apart
    assert 0.1 < measure(once)[0] < 0.35
    assert 0.35 < measure(often)[0] < 0.7
    assert measure(often)[1] > measure(once)[1] + 1.0
    assert measure(often, head=0)[0] < 0.08, "the other heads stay as they were"
