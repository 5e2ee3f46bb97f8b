"""Only a folder of which everything is known is loaded directly; any other is loaded as ever, or refused as ever."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.direct.model import DirectSplade, load_directly

ROUTER = "sentence_transformers.base.modules.router.Router"
TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"


def directly(folder):
    return load_directly(folder, device="cpu", dtype=torch.float32)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("config.json", {"model_type": "modernbert-decoder"}),
        ("config.json", {"architectures": ["ModernBertForSequenceClassification"]}),
        ("config.json", {"hidden_activation": "gelu_fast"}),
        ("config.json", {"head_dim": 16}),
        ("config.json", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
        ("config.json", {"rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 1.0}}}),
        ("config.json", {"local_rope_theta": 5.0}),
        ("config.json", {"layer_types": ["full_attention"]}),
        ("config.json", {"global_attn_every_n_layers": 1}),
        ("config.json", {"sparse_prediction": True}),
        ("config.json", {"num_attention_heads": 5}),
        ("config.json", {"pad_token_id": 50_000}),
        ("config.json", {"something_new": 1}),
        ("config.json", {"hidden_size": None}),
        ("config_sentence_transformers.json", {"max_active_dims": 5}),
        ("config_sentence_transformers.json", {"prompts": {"query": "질문: "}}),
        ("config_sentence_transformers.json", {"default_prompt_name": "none-such"}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("sentence_bert_config.json", {"transformer_task": "feature-extraction"}),
        ("sentence_bert_config.json", {"transformer_task": None}),
        ("sentence_bert_config.json", {"query_length": 8}),
        ("sentence_bert_config.json", {"max_seq_length": 2}),
        ("sentence_bert_config.json", {"module_output_name": "sentence_embedding"}),
        ("1_SpladePooling/config.json", {"pooling_strategy": "mean"}),
        ("1_SpladePooling/config.json", {"activation_function": "gelu"}),
        ("1_SpladePooling/config.json", {"temperature": 2}),
        ("processor_config.json", {"processor_class": "Processor"}),
        ("added_tokens.json", {"[NEW]": 49_999}),
        ("adapter_config.json", {}),
        ("sentence_roberta_config.json", {"max_seq_length": 16}),
    ],
)
def test_what_is_a_little_different_is_left_to_sentence_transformers(name, values, changed, today_folder):
    assert directly(today_folder) is not None
    assert directly(changed(today_folder, name, values)) is None


def test_other_modules_are_left_to_sentence_transformers(copy_of, today_folder):
    folder = copy_of(today_folder)
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8"))
    for other in (
        modules[:1],
        [modules[1], modules[0]],
        [*modules, modules[1]],
        [modules[0] | {"type": ROUTER}, modules[1]],
        [modules[0] | {"kwargs": ["task"]}, modules[1]],
        [],
    ):
        path.write_text(json.dumps(other), encoding="utf-8")
        assert directly(folder) is None
    path.unlink()
    assert directly(folder) is None


def test_such_a_model_gives_its_vectors_all_the_same_and_the_log_says_why_it_took_longer(
    ordinary_folder, encoder, sentences, caplog
):
    with caplog.at_level("INFO", logger="pixie_retrievers"):
        ordinary = PixieEncoder(ordinary_folder, device="cpu")
    assert not isinstance(ordinary._model, DirectSplade)
    assert "is loaded by sentence-transformers, which takes a few seconds more (model_args)" in caplog.text
    found, expected = ordinary.encode_documents(sentences), encoder.encode_documents(sentences)
    assert np.array_equal(found.weights, expected.weights)


WEIRD = [
    *(False, True, -1, 0, 2, 1.5, 10**400, float("inf"), float("nan"), 1 << 40, "", "x", [], [[]], [{}], {}),
    *({"content": []}, {"text": {}}, ["x", 1], {"0": 1}, {"0": {"content": "x"}}, {"full_attention": 1}),
]


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "config_sentence_transformers.json", "sentence_bert_config.json", "tokenizer_config.json"),
        *("special_tokens_map.json", "1_SpladePooling/config.json", "modules.json"),
    ],
)
def test_whatever_a_description_says_nothing_is_raised(name, copy_of, today_folder):
    """What is wrong with it, sentence-transformers says."""
    folder = copy_of(today_folder)
    path = folder / name
    sound = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = [
        "additional_special_tokens",
        "added_tokens_decoder",
        "local_rope_theta",
        "max_seq_length",
        "truncation_side",
    ]
    keys = list(sound[0] if name == "modules.json" else sound) + known + ["cls_token", "global_attn_every_n_layers"]
    n_direct = 0
    for key in dict.fromkeys(keys):
        for value in WEIRD:
            content = [sound[0] | {key: value}, sound[1]] if name == "modules.json" else sound | {key: value}
            if name == "modules.json" and key in ("type", "path"):
                continue  # held to what is safe before
            path.write_text(json.dumps(content), encoding="utf-8")
            n_direct += directly(folder) is not None
    assert n_direct < len(keys) * len(WEIRD) / 2
