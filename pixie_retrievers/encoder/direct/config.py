"""The ``config.json`` of a ModernBERT, in the words of transformers 4 and 5.

Source: Warner et al. 2024, "Smarter, Better, Faster, Longer" (arXiv 2412.13663), section 2.1 and table 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixie_retrievers.encoder.direct.known import (
    AnotherKind,
    anything,
    check_keys,
    is_count,
    is_flag,
    is_id,
    is_number,
    no_more_than,
    one_of,
)

__all__ = ["ACTIVATIONS", "ModernBertConfig", "read_config"]

ACTIVATIONS = ("gelu", "relu", "silu")
_MOST_POSITIONS = 1 << 17  # more are not packed either
_KINDS = ("full_attention", "sliding_attention")
_THETAS = {"full_attention": ("global_rope_theta", 160_000.0), "sliding_attention": ("local_rope_theta", 10_000.0)}


def _is_rate(value: Any) -> bool:
    return is_number(value) and value <= 1


_NEEDED = {
    "model_type": one_of("modernbert"),
    "architectures": one_of(["ModernBertForMaskedLM"]),
    "vocab_size": is_count,
    "hidden_size": is_count,
    "intermediate_size": is_count,
    "num_hidden_layers": is_count,
    "num_attention_heads": is_count,
    "max_position_embeddings": no_more_than(_MOST_POSITIONS),
    "local_attention": is_count,
}
_MAY_BE = {
    "hidden_activation": one_of(*ACTIVATIONS),
    "classifier_activation": one_of(*ACTIVATIONS),
    "norm_eps": lambda value: is_number(value) and value > 0,
    "norm_bias": is_flag,
    "attention_bias": is_flag,
    "mlp_bias": is_flag,
    "decoder_bias": is_flag,
    "classifier_bias": is_flag,
    "tie_word_embeddings": is_flag,
    "layer_types": lambda value: value is None or (isinstance(value, list) and all(map(one_of(*_KINDS), value))),
    "global_attn_every_n_layers": is_count,
    "rope_parameters": lambda value: value is None or isinstance(value, dict),
    "global_rope_theta": lambda value: is_number(value) and value > 0,
    "local_rope_theta": lambda value: is_number(value) and value > 0,
    "pad_token_id": is_id,
}
# What training, another head, or another way to compute the same needs.
_UNUSED = {
    **dict.fromkeys(("attention_dropout", "embedding_dropout", "mlp_dropout", "classifier_dropout"), _is_rate),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), is_id),
    **dict.fromkeys(("dtype", "torch_dtype", "transformers_version", "_name_or_path"), anything),
    **dict.fromkeys(("initializer_range", "initializer_cutoff_factor", "layer_norm_eps"), is_number),
    **dict.fromkeys(("deterministic_flash_attn", "repad_logits_with_grad"), is_flag),
    "reference_compile": lambda value: value is None or is_flag(value),
    "sparse_prediction": one_of(False),
    "sparse_pred_ignore_index": lambda value: type(value) is int,
    "gradient_checkpointing": one_of(False),
    "position_embedding_type": one_of("absolute"),  # transformers wrote it before it looked at nothing of the sort
    "classifier_pooling": one_of("cls", "mean"),
}


@dataclass(frozen=True, slots=True)
class ModernBertConfig:
    """A network's sizes and settings, named as in transformers.

    Attributes:
        vocab_size: The number of terms.
        hidden_size: Numbers of a state.
        intermediate_size: Numbers inside a layer.
        num_attention_heads: By how many heads a state is divided.
        max_position_embeddings: Tokens of a text, at most.
        layer_types: For each layer "full_attention" or "sliding_attention".
        local_attention: The window of the latter, in tokens.
        thetas: The base of the rotations for each of the two.
        norm_eps: What is added to variances.
        hidden_activation, classifier_activation: One of :data:`ACTIVATIONS`, inside layers and in front of the decoder.
        norm_bias, attention_bias, mlp_bias, classifier_bias, decoder_bias: Which layers add a bias.
        tied: The decoder's weights are the embeddings.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    max_position_embeddings: int
    layer_types: tuple[str, ...]
    local_attention: int
    thetas: Mapping[str, float]
    norm_eps: float
    hidden_activation: str
    classifier_activation: str
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool
    classifier_bias: bool
    decoder_bias: bool
    tied: bool

    @property
    def head_dim(self) -> int:
        """Numbers of a head."""
        return self.hidden_size // self.num_attention_heads


def read_config(content: Mapping[str, Any]) -> ModernBertConfig:
    """What a ``config.json`` says.

    Raises:
        AnotherKind: It says something that is not known, or says a thing twice in different ways, of which each version
            of transformers takes another.
    """
    if not content.keys() >= _NEEDED.keys():
        raise AnotherKind("config.json")
    check_keys(content, _NEEDED | _MAY_BE | _UNUSED)
    n_heads, size, padding = content["num_attention_heads"], content["hidden_size"], content.get("pad_token_id")
    if size % (2 * n_heads) or (padding is not None and padding >= content["vocab_size"]):
        raise AnotherKind("config.json")
    return ModernBertConfig(
        vocab_size=content["vocab_size"],
        hidden_size=size,
        intermediate_size=content["intermediate_size"],
        num_attention_heads=n_heads,
        max_position_embeddings=content["max_position_embeddings"],
        layer_types=_layer_types(content),
        local_attention=content["local_attention"],
        thetas={kind: _theta(content, kind) for kind in _KINDS},
        norm_eps=content.get("norm_eps", 1e-5),
        hidden_activation=content.get("hidden_activation", "gelu"),
        classifier_activation=content.get("classifier_activation", "gelu"),
        norm_bias=content.get("norm_bias", False),
        attention_bias=content.get("attention_bias", False),
        mlp_bias=content.get("mlp_bias", False),
        classifier_bias=content.get("classifier_bias", False),
        decoder_bias=content.get("decoder_bias", True),
        tied=content.get("tie_word_embeddings", True),
    )


def _layer_types(content: Mapping[str, Any]) -> tuple[str, ...]:
    every = content.get("global_attn_every_n_layers", 3)
    by_rule = tuple(_KINDS[bool(n % every)] for n in range(content["num_hidden_layers"]))
    listed = content.get("layer_types")
    if listed is None:
        return by_rule
    if len(listed) != len(by_rule) or ("global_attn_every_n_layers" in content and tuple(listed) != by_rule):
        raise AnotherKind("layer_types")
    return tuple(listed)


def _theta(content: Mapping[str, Any], kind: str) -> float:
    name, default = _THETAS[kind]
    if content.get("rope_parameters") is None:
        return float(content.get(name, default))
    parameters = content["rope_parameters"]
    if parameters.keys() != set(_KINDS) or not isinstance(parameters[kind], dict):
        raise AnotherKind("rope_parameters")
    check_keys(parameters[kind], {"rope_type": one_of("default"), "rope_theta": _MAY_BE[name]})
    if parameters[kind].keys() != {"rope_type", "rope_theta"}:
        raise AnotherKind("rope_parameters")
    theta = float(parameters[kind]["rope_theta"])
    if float(content.get(name, theta)) != theta:
        raise AnotherKind(name)
    return theta
