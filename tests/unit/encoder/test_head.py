"""The blockwise head and texts behind each other give what the ordinary path gives, in a fraction of the memory."""

from __future__ import annotations

import json
import logging
import random
import sys

import numpy as np
import pytest
import torch
import transformers
from processes import script

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.device import this_machine
from pixie_retrievers.encoder.head import BlockwisePooling
from pixie_retrievers.encoder.linear import multiplies_bytes_exactly

TOLERANCE = 1e-5


def mixed_texts(sentences, n):
    """Texts of mixed length, some of one word and some longer than any strip of attention and block of the head."""
    rng = random.Random(0)
    words = " ".join(sentences).split()
    return [" ".join(rng.choices(words, k=rng.choice([1, 2, 3, 8, 20, 60]))) for _ in range(n - 1)] + [
        " ".join(rng.choices(words, k=450))
    ]


def dense(vectors):
    return vectors.to_scipy().toarray()


def without_special(encoder, expected):
    expected = expected.to_dense().float().numpy().copy()
    expected[:, encoder._model.tokenizer.all_special_ids] = 0
    return expected


@pytest.fixture(scope="module")
def long_folder(today_folder, tmp_path_factory):
    """The random model with room for texts of 5,632 tokens, as a sibling of PIXIE has it."""
    import shutil

    folder = shutil.copytree(today_folder, tmp_path_factory.mktemp("long") / "random-splade")
    for name, change in (
        ("config.json", {"max_position_embeddings": 5632, "global_attn_every_n_layers": 2}),
        ("sentence_bert_config.json", {"max_seq_length": 5632}),
        ("tokenizer_config.json", {"model_max_length": 5632}),
    ):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    return folder


def test_two_hundred_texts_of_mixed_length_get_what_the_ordinary_path_gives(long_folder, sentences):
    from sentence_transformers import SparseEncoder

    texts = mixed_texts(sentences, 200)
    encoder = PixieEncoder(long_folder, device="cpu", max_batch_tokens=2000)
    assert any(isinstance(module, BlockwisePooling) for module in encoder._model.modules())
    plain = SparseEncoder(str(long_folder), device="cpu")
    expected = without_special(encoder, plain.encode_document(texts, batch_size=4))
    assert np.abs(dense(encoder.encode_documents(texts)) - expected).max() <= TOLERANCE


def test_length_and_vocabulary_are_the_models_own(long_folder):
    encoder = PixieEncoder(long_folder, device="cpu")
    assert encoder.max_length == 5632
    assert encoder.vocabulary_size == 50_000


def network_of(kind, vocabulary_size=50_000):
    torch.manual_seed(1)
    if kind == "bert":
        config = transformers.BertConfig(
            vocab_size=vocabulary_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
        )
        network = transformers.BertForMaskedLM(config)
    elif kind == "distilbert":
        config = transformers.DistilBertConfig(vocab_size=vocabulary_size, dim=32, n_layers=2, n_heads=4, hidden_dim=48)
        network = transformers.DistilBertForMaskedLM(config)
    else:
        config = transformers.RobertaConfig(
            vocab_size=vocabulary_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
        )
        network = transformers.RobertaForMaskedLM(config)
    network = network.eval()
    with torch.no_grad():
        network.get_output_embeddings().weight.normal_(0, 0.35)
    return network


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_other_heads_poolings_and_activations_are_split_too(
    kind, pooling, activation, tmp_path, sentences, make_splade_modules, make_tokenizer
):
    from sentence_transformers import SparseEncoder

    network_of(kind).save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    transformer, splade = make_splade_modules(tmp_path / "base")
    splade.pooling_strategy, splade.activation_function = pooling, activation
    SparseEncoder(modules=[transformer, splade], device="cpu").save_pretrained(
        str(tmp_path / "model"), create_model_card=False
    )
    encoder = PixieEncoder(tmp_path / "model", device="cpu")
    assert any(isinstance(module, BlockwisePooling) for module in encoder._model.modules())
    assert json.loads(encoder.fingerprint)["pooling"] == f"{pooling}/{activation}"
    plain = SparseEncoder(str(tmp_path / "model"), device="cpu")
    expected = without_special(encoder, plain.encode_document(sentences))
    # A sum runs to hundreds: the tolerance is relative there.
    assert np.abs(dense(encoder.encode_documents(sentences)) - expected).max() <= TOLERANCE * max(1, expected.max())


@pytest.mark.parametrize("block_tokens", [1, 3, 7, 1000])
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_where_blocks_end_does_not_matter(block_tokens, pooling):
    torch.manual_seed(2)
    decoder = torch.nn.Linear(8, 30)
    hidden, mask = torch.randn(4, 9, 8), torch.ones(4, 9, dtype=torch.int64)
    mask[0, 3:] = mask[1, 1:] = 0
    mask[2] = 0
    logits = decoder(hidden).relu().log1p() * mask.unsqueeze(-1)
    expected = logits.amax(dim=1) if pooling == "max" else logits.sum(dim=1)
    head = BlockwisePooling(decoder, pooling, "relu", block_tokens=block_tokens)
    with torch.inference_mode():
        found = head({"token_embeddings": hidden, "attention_mask": mask})["sentence_embedding"]
        flat = {"token_embeddings": hidden[mask.bool()].unsqueeze(0), "cu_seq_lens_q": torch.tensor([0, 3, 4, 4, 13])}
        assert torch.equal(head(flat)["sentence_embedding"], found)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.fixture
def capped_head(monkeypatch):
    """A masked language model that does something to the logits behind its last layer."""
    from transformers import ModernBertForMaskedLM

    forward = ModernBertForMaskedLM.forward

    def capped(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        output.logits = 30 * torch.tanh(output.logits / 30)
        return output

    monkeypatch.setattr(ModernBertForMaskedLM, "forward", capped)


def test_a_head_that_does_more_behind_its_last_layer_stays_whole_and_the_log_says_so(
    capped_head, ordinary_folder, sentences, encoder, caplog
):
    with caplog.at_level(logging.INFO, logger="pixie_retrievers"):
        whole = PixieEncoder(ordinary_folder, device="cpu")
    assert not any(isinstance(module, BlockwisePooling) for module in whole._model.modules())
    assert [r.getMessage() for r in caplog.records if "cannot be split" in r.getMessage()] == [
        "the head of ModernBertForMaskedLM cannot be split: its logits take tokens x vocabulary x 4 bytes"
    ]
    assert whole.vocabulary_size == 50_000
    assert 0 < np.abs(dense(whole.encode_documents(sentences)) - dense(encoder.encode_documents(sentences))).max() < 1


@pytest.mark.skipif(
    not (this_machine().cpu_has_int8 and multiplies_bytes_exactly()),
    reason="the processor has no VNNI instructions, or ONEDNN_MAX_CPU_ISA hides them",
)
def test_a_whole_head_runs_in_int8_too(capped_head, ordinary_folder, sentences):
    whole = PixieEncoder(ordinary_folder, device="cpu", precision="int8")
    assert whole.vocabulary_size == 50_000
    assert len(whole.encode_documents(sentences).term_ids) > 0


PEAK = """
import json, sys
import torch
from pixie_retrievers import PixieEncoder

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

torch.set_num_threads(1)
encoder = PixieEncoder(sys.argv[1], device="cpu", max_batch_tokens=5632)
words = sys.argv[2].split()
text = " ".join(words[n % len(words)] for n in range(4000))
encoder.encode_documents(["a"])
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
before = status("VmRSS")
vectors = encoder.encode_documents([text, text])
print(json.dumps([status("VmHWM") - before, len(vectors.term_ids)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_two_long_texts_take_a_fraction_of_what_their_logits_would(long_folder, sentences):
    peak, n_terms = script(PEAK, str(long_folder), " ".join(sentences), OMP_NUM_THREADS="1")
    assert n_terms > 0
    # 5,632 tokens x 50,000 terms are 1.1 GB of logits, twice that with the ordinary path's copy, and as much a text.
    assert peak < 300e6
