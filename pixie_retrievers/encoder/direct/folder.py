"""The files of a SPLADE model around its network: its modules, its pooling, its prompts, in either folder layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.direct.config import ModernBertConfig, read_config
from pixie_retrievers.encoder.direct.known import AnotherKind, anything, check_keys, is_count, one_of
from pixie_retrievers.encoder.safety import read_json, read_object

__all__ = ["SpladeFolder", "read_folder"]

# A file that is not among these may change how a text is read.
_FILES = {
    *("modules.json", "config.json", "config_sentence_transformers.json", "sentence_bert_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"),
}
_NOTHING = one_of(None, {})


def _is_none_or_count(value: Any) -> bool:
    return value is None or is_count(value)


_TRANSFORMER = {
    "max_seq_length": _is_none_or_count,
    "do_lower_case": one_of(None, False),
    "transformer_task": one_of("fill-mask"),
    "modality_config": one_of({"text": {"method": "forward", "method_output_name": "logits"}}),
    "module_output_name": one_of("token_embeddings"),
    "unpad_inputs": one_of(None),
    **dict.fromkeys(("model_args", "tokenizer_args", "config_args"), _NOTHING),
    **dict.fromkeys(("model_kwargs", "processor_kwargs", "config_kwargs", "processing_kwargs"), _NOTHING),
}
_POOLING = {
    "pooling_strategy": one_of("max", "sum"),
    "activation_function": one_of("relu", "log1p_relu"),
    "embedding_dimension": _is_none_or_count,
    "word_embedding_dimension": _is_none_or_count,
}
_MODEL = {
    "model_type": one_of("SparseEncoder"),
    "__version__": anything,
    "prompts": lambda value: isinstance(value, dict) and all(isinstance(prompt, str) for prompt in value.values()),
    "default_prompt_name": lambda value: value is None or isinstance(value, str),
    "similarity_fn_name": one_of(None, "dot", "cosine", "euclidean", "manhattan"),
}
_MODULE = {"idx": anything, "name": anything, "path": anything, "type": anything}


@dataclass(frozen=True, slots=True)
class SpladeFolder:
    """A folder that is loaded directly.

    Attributes:
        network: Its ``config.json``.
        weights: Its ``model.safetensors``.
        pooling_strategy, activation_function: As for :class:`~pixie_retrievers.encoder.head.BlockwisePooling`.
        prompts: What stands before texts, by name; "query" and "document" are among the names.
        default_prompt_name: None, or one of them.
        max_seq_length: Where sentence-transformers cuts texts, in tokens; None leaves it to tokenizer and network.
    """

    network: ModernBertConfig
    weights: Path
    pooling_strategy: str
    activation_function: str
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    max_seq_length: int | None


def read_folder(folder: Path) -> SpladeFolder:
    """What a folder holds that passed :mod:`pixie_retrievers.encoder.safety`.

    Raises:
        AnotherKind: It is not a ModernBERT with a ``SpladePooling`` behind it and nothing else.
        ModelUnavailableError: A file cannot be read.
    """
    network, pooling, is_masked = _modules(folder)
    for part in {folder, network}:
        if not {path.name for path in part.glob("*.json")} <= _FILES:
            raise AnotherKind("files")
    weights = network / "model.safetensors"
    if not weights.is_file():
        raise AnotherKind("weights")
    transformer = read_object(network / "sentence_bert_config.json")
    check_keys(transformer, _TRANSFORMER)
    pooled = read_object(pooling / "config.json")
    check_keys(pooled, _POOLING)
    model = read_object(folder / "config_sentence_transformers.json")
    check_keys(model, _MODEL)
    # Versions differ in what they put in place of a prompt that is missing, and in whether they infer a task.
    prompts, default = model.get("prompts", {}), model.get("default_prompt_name")
    if (
        not prompts.keys() >= {"query", "document"}
        or (default is not None and default not in prompts)
        or ("transformer_task" not in transformer and not is_masked)
        or "pooling_strategy" not in pooled
    ):
        raise AnotherKind("settings")
    return SpladeFolder(
        network=read_config(read_object(network / "config.json")),
        weights=weights,
        pooling_strategy=pooled["pooling_strategy"],
        activation_function=pooled.get("activation_function", "relu"),
        prompts=prompts,
        default_prompt_name=default,
        max_seq_length=transformer.get("max_seq_length"),
    )


def _modules(folder: Path) -> tuple[Path, Path, bool]:
    """Where network and pooling are, and whether the former says by its class that its task is the masked one."""
    path = folder / "modules.json"
    modules = read_json(path) if path.is_file() else []
    if len(modules) != 2:
        raise AnotherKind("modules.json")
    for module in modules:
        check_keys(module, _MODULE)
    names = [str(module["type"]).rpartition(".")[2] for module in modules]
    if names[0] not in ("Transformer", "MLMTransformer") or names[1] != "SpladePooling":
        raise AnotherKind("modules.json")
    network, pooling = (folder / str(module.get("path", "")) for module in modules)
    return network, pooling, names[0] == "MLMTransformer"
