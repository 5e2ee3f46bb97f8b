"""A network is described alike in the words of transformers 4 and 5; what says two things is not taken at its word."""

from __future__ import annotations

import pytest

from pixie_retrievers.encoder.direct.config import read_config
from pixie_retrievers.encoder.direct.known import AnotherKind

FULL, SLIDING = "full_attention", "sliding_attention"
SIZES = {
    "architectures": ["ModernBertForMaskedLM"],
    "model_type": "modernbert",
    "vocab_size": 800,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "local_attention": 64,
}
VERSION_4 = {
    "global_attn_every_n_layers": 2,
    "global_rope_theta": 500.0,
    "local_rope_theta": 20,
    "position_embedding_type": "absolute",
    "layer_norm_eps": 1e-5,
    "reference_compile": False,
    "repad_logits_with_grad": False,
    "torch_dtype": "float32",
}
VERSION_5 = {
    "layer_types": [FULL, SLIDING, FULL, SLIDING, FULL],
    "rope_parameters": {
        FULL: {"rope_type": "default", "rope_theta": 500.0},
        SLIDING: {"rope_type": "default", "rope_theta": 20.0},
    },
    "dtype": "float32",
}


def test_both_spellings_say_the_same():
    assert (
        read_config(SIZES | VERSION_4) == read_config(SIZES | VERSION_5) == read_config(SIZES | VERSION_4 | VERSION_5)
    )
    assert read_config(SIZES | VERSION_4).thetas == {FULL: 500.0, SLIDING: 20.0}


def test_what_is_not_said_is_what_transformers_takes():
    from transformers import ModernBertConfig

    found, expected = read_config(SIZES), ModernBertConfig(**SIZES)
    for name in ("norm_eps", "hidden_activation", "classifier_activation", "norm_bias", "attention_bias", "mlp_bias"):
        assert getattr(found, name) == getattr(expected, name)
    assert (found.classifier_bias, found.decoder_bias, found.tied) == (
        expected.classifier_bias,
        expected.decoder_bias,
        expected.tie_word_embeddings,
    )
    assert found.layer_types == (FULL, SLIDING, SLIDING, FULL, SLIDING)
    assert found.thetas == {FULL: 160_000.0, SLIDING: 10_000.0}


@pytest.mark.parametrize(
    "change",
    [
        {"global_attn_every_n_layers": 3},
        {"layer_types": [FULL] * 4},
        {"layer_types": [FULL] * 4 + ["chunked_attention"]},
        {"global_rope_theta": 501.0},
        {"local_rope_theta": None},
        {"rope_parameters": VERSION_5["rope_parameters"] | {FULL: {"rope_type": "yarn", "rope_theta": 500.0}}},
        {"rope_parameters": VERSION_5["rope_parameters"] | {FULL: {"rope_type": "default"}}},
        {"rope_parameters": {FULL: VERSION_5["rope_parameters"][FULL]}},
        {"hidden_size": 36},
        {"hidden_size": True},
        {"norm_eps": 0},
        {"attention_dropout": 2},
        {"max_position_embeddings": 1 << 18},
    ],
)
def test_what_says_two_things_or_something_unknown_is_of_another_kind(change):
    with pytest.raises(AnotherKind):
        read_config(SIZES | VERSION_4 | VERSION_5 | change)
