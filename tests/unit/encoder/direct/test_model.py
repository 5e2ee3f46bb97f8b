"""What is loaded directly computes what sentence-transformers computes, and imports nothing of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from processes import script

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.device import this_machine
from pixie_retrievers.encoder.direct.model import DirectSplade, load_directly
from pixie_retrievers.encoder.fingerprint import describe
from pixie_retrievers.encoder.forward import forward, prepare
from pixie_retrievers.encoder.linear import multiplies_bytes_exactly
from pixie_retrievers.encoder.ordinary import load_ordinarily
from pixie_retrievers.encoder.source import BUNDLED_FOLDER, find_model

TOLERANCE = 1e-5
LAYOUTS = ["today_folder", "version_5_folder"]


def dense(vectors):
    return vectors.to_scipy().toarray()


def directly(folder):
    return load_directly(Path(folder), device="cpu", dtype=torch.float32)


@pytest.fixture(params=[*LAYOUTS, "bundled"])
def folder(request):
    return BUNDLED_FOLDER if request.param == "bundled" else request.getfixturevalue(request.param)


# Nothing is imported that is not needed

WITHOUT = """
import json, sys
from pixie_retrievers import PixieEncoder, SparseRetriever
encoder = PixieEncoder.bundled(device="cpu", precision=sys.argv[2])
with SparseRetriever.open(sys.argv[1], encoder=encoder) as retriever:
    retriever.add_texts(["위성 영상을 분석한다.", "논에 물을 댄다."])
    results = retriever.search("위성 사진")
    words = [one.surface for one in results[0].explanation.contributions]
    why = retriever.explain_query("위성 사진", raised_by=True)
    print(json.dumps([results[0].document.text, words, len(why.tokens), sorted(sys.modules)]))
"""


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_process_that_searches_with_the_bundled_model_imports_torch_and_nothing_above_it(precision, tmp_path):
    if precision == "int8" and not (this_machine().cpu_has_int8 and multiplies_bytes_exactly()):
        pytest.skip("products of bytes overflow here")
    text, words, n_tokens, modules = script(WITHOUT, str(tmp_path / "index.db"), precision)
    assert text == "위성 영상을 분석한다."
    assert "위성" in words
    assert n_tokens > 0
    assert "torch" in modules
    # torch._dynamo comes with a parameter on torch's "meta" device, and takes as long as half of the others.
    unneeded = {"transformers", "sentence_transformers", "sklearn", "huggingface_hub", "torch._dynamo", "sympy"}
    assert not unneeded & set(modules)


LACKING = """
import json, sys
GONE = set(sys.argv[2].split(","))

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from pixie_retrievers import OptionalDependencyError, PixieEncoder

assert len(PixieEncoder.bundled(device="cpu").encode_queries(["위성"]).term_ids) > 0
try:
    PixieEncoder(sys.argv[1], device="cpu")
except OptionalDependencyError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize(
    ("gone", "needs"),
    [
        ("transformers,sentence_transformers,huggingface_hub", "transformers, sentence_transformers"),
        ("transformers",) * 2,
    ],
)
def test_where_they_are_not_installed_a_model_of_another_kind_names_them(gone, needs, ordinary_folder):
    said = script(LACKING, str(ordinary_folder), gone)
    assert f"running a model needs {needs}: pip install" in said
    assert 'pip install "pixie-retrievers[encoder]"' in said


def test_where_the_hubs_client_is_not_installed_a_name_says_so():
    said = script(LACKING, "example/random-splade", "huggingface_hub")
    assert "needs huggingface_hub: pip install" in said


# The same vectors, the same identity


def test_both_ways_give_the_same_vectors_and_the_same_fingerprint(folder, sentences):
    loaded = [directly(folder), load_ordinarily(Path(folder), device="cpu", dtype=torch.float32)]
    assert [type(model).__name__ for model in loaded] == ["DirectSplade", "SparseEncoder"]
    texts = [*sentences, "", "[MASK] 위성", " ".join(sentences * 20)]
    found = [
        [forward(model, prepare(model, texts, kind), kind).numpy() for kind in ("query", "document")]
        for model in loaded
    ]
    assert np.abs(np.stack(found[0]) - np.stack(found[1])).max() <= TOLERANCE
    options = {"max_length": 64, "min_weight": 0.0, "max_active_terms": None, "precision": "float32"}
    fingerprints = {describe(find_model(folder), model, **options) for model in loaded}
    assert len(fingerprints) == 1


@pytest.mark.skipif(transformers.__version__ < "5", reason="earlier versions pad texts")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "int8"])
def test_an_encoder_gives_to_the_last_bit_what_it_gives_when_sentence_transformers_loads(
    precision, today_folder, ordinary_folder, sentences
):
    if precision == "int8" and not (this_machine().cpu_has_int8 and multiplies_bytes_exactly()):
        pytest.skip("products of bytes overflow here")
    ways = [PixieEncoder(folder, device="cpu", precision=precision) for folder in (today_folder, ordinary_folder)]
    assert [isinstance(way._model, DirectSplade) for way in ways] == [True, False]
    texts = [*sentences, "[MASK] 위성", "\U0001f34e"]
    for encode in ("encode_queries", "encode_documents"):
        one, other = (getattr(way, encode)(texts) for way in ways)
        assert np.array_equal(one.indptr, other.indptr)
        assert np.array_equal(one.term_ids, other.term_ids)
        assert np.array_equal(one.weights, other.weights)
        assert np.array_equal(one.literal, other.literal)
    assert ways[0].fingerprint == ways[1].fingerprint
    assert ways[0].vocabulary.tokenizer == ways[1].vocabulary.tokenizer
    assert {parameter.dtype for parameter in ways[0]._model.parameters()} == {
        parameter.dtype for parameter in ways[1]._model.parameters()
    }


NETWORKS = {
    "biases": {
        "norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True, "decoder_bias": False
    },
    "untied": {"tie_word_embeddings": False},
    "activations": {"hidden_activation": "silu", "classifier_activation": "relu"},
    "windows": {"num_hidden_layers": 5, "local_attention": 7, "norm_eps": 1e-3},
    "layers": {"global_attn_every_n_layers": 1},
    "rotations": {"global_rope_theta": 300.0, "local_rope_theta": 20.0},
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_whatever_a_network_is_made_of(name, tmp_path, sentences, make_splade_modules, make_tokenizer):
    from sentence_transformers import SparseEncoder
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    torch.manual_seed(3)
    sizes = {"vocab_size": 800, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    positions = {"num_attention_heads": 4, "max_position_embeddings": 128, "pad_token_id": 0}
    network = ModernBertForMaskedLM(ModernBertConfig(**{**sizes, **positions, **NETWORKS[name]})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    network.save_pretrained(tmp_path / "base")
    make_tokenizer(800).save_pretrained(tmp_path / "base")
    plain = SparseEncoder(modules=make_splade_modules(tmp_path / "base"), device="cpu")
    plain.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    encoder = PixieEncoder(tmp_path / "model", device="cpu")
    assert isinstance(encoder._model, DirectSplade)
    texts = [*sentences, " ".join(sentences)]
    expected = plain.encode_document(texts).to_dense().numpy().copy()
    expected[:, plain.tokenizer.all_special_ids] = 0
    assert expected.any(axis=1).all()
    with pytest.warns(match="read only the beginning"):
        found = dense(encoder.encode_documents(texts))
    assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_every_pooling(pooling, activation, changed, today_folder, sentences):
    from sentence_transformers import SparseEncoder

    values = {"pooling_strategy": pooling, "activation_function": activation}
    folder = changed(today_folder, "1_SpladePooling/config.json", values)
    encoder, plain = PixieEncoder(folder, device="cpu"), SparseEncoder(str(folder), device="cpu")
    assert isinstance(encoder._model, DirectSplade)
    expected = plain.encode_document(sentences).to_dense().numpy().copy()
    expected[:, plain.tokenizer.all_special_ids] = 0
    assert np.abs(dense(encoder.encode_documents(sentences)) - expected).max() <= TOLERANCE * max(1, expected.max())


@pytest.mark.parametrize("prompts", [{"query": "질문: ", "document": "글: "}, {"query": "[MASK] ", "document": ""}])
def test_prompts_are_read_as_sentence_transformers_reads_them(prompts, changed, today_folder, sentences):
    from sentence_transformers import SparseEncoder

    folder = changed(today_folder, "config_sentence_transformers.json", {"prompts": prompts})
    encoder, plain = PixieEncoder(folder, device="cpu"), SparseEncoder(str(folder), device="cpu")
    assert isinstance(encoder._model, DirectSplade)
    assert encoder.document_prompt == prompts["document"]
    for kind in ("query", "document"):
        expected = getattr(plain, f"encode_{kind}")(sentences).to_dense().numpy().copy()
        expected[:, plain.tokenizer.all_special_ids] = 0
        found = encoder.encode_queries(sentences) if kind == "query" else encoder.encode_documents(sentences)
        assert np.abs(dense(found) - expected).max() <= TOLERANCE
    model = load_ordinarily(folder, device="cpu", dtype=torch.float32)
    assert json.loads(encoder.fingerprint)["prompts"] == {
        name: prompt for name, prompt in model.prompts.items() if prompt
    }


# Weights that are not those of the description


def test_a_file_of_weights_that_lacks_or_adds_a_tensor_is_left_to_sentence_transformers(copy_of, today_folder):
    from safetensors.torch import load_file, save_file

    tensors, norm = load_file(today_folder / "model.safetensors"), "model.final_norm.weight"
    lacking = {name: tensor for name, tensor in tensors.items() if name != norm}
    others = [tensors[norm][:-1].clone(), torch.ones(32, dtype=torch.int32), torch.ones(1, 32)]
    changes = [lacking, tensors | {"more": torch.ones(32)}, *(tensors | {norm: other} for other in others)]
    for number, changed in enumerate(changes):
        folder = copy_of(today_folder, f"changed-{number}")
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        assert directly(folder) is None
    assert directly(today_folder) is not None


def test_weights_that_are_damaged_or_lie_in_several_files_are_left_to_sentence_transformers(copy_of, today_folder):
    folder = copy_of(today_folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert directly(folder) is None
    path.rename(folder / "model-00001-of-00002.safetensors")
    assert directly(folder) is None


@pytest.mark.skipif(sys.platform != "linux", reason="what is mapped is read from /proc")
def test_weights_in_the_type_of_their_file_stay_in_it_for_all_processes(today_folder, copy_of):
    folder = copy_of(today_folder)
    weights = str(folder / "model.safetensors")

    def is_mapped():
        return weights in Path("/proc/self/maps").read_text(encoding="utf-8")

    lower = load_directly(folder, device="cpu", dtype=torch.bfloat16)
    assert lower is not None
    assert not is_mapped()
    loaded = directly(folder)
    assert loaded is not None
    assert is_mapped()
