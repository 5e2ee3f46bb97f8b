"""A model's identity as one line of JSON: equal fingerprints give equal vectors."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.safety import read_object
from pixie_retrievers.encoder.source import ModelSource
from pixie_retrievers.errors import IncompatibleIndexError

__all__ = ["describe", "parse"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OTHER_BACKENDS = {"onnx", "openvino"}
# What libraries note down about themselves; it changes nothing in the vectors.
_INCIDENTAL = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}


def describe(
    source: ModelSource,
    model: Any,
    *,
    max_length: int,
    min_weight: float,
    max_active_terms: int | None,
    precision: str,
) -> str:
    """The fingerprint: compact JSON with sorted keys. It leaves out device and path, and float types, which people
    mix; "int8" stands in it, because its weights differ about three times as far as those of bfloat16.

    Args:
        source: Where the model came from.
        model: The loaded ``SparseEncoder``.
        max_length: Where texts are cut, in tokens.
        min_weight: The encoder's threshold.
        max_active_terms: The encoder's limit.
        precision: What it computes in.
    """
    poolings = [module for module in model.modules() if hasattr(module, "pooling_strategy")]
    prompts = {name: prompt for name, prompt in model.prompts.items() if prompt}
    content: dict[str, Any] = {
        "model": source.name,
        "sha256": _digest(source.folder),
        "pooling": ",".join(f"{module.pooling_strategy}/{module.activation_function}" for module in poolings),
        "max_length": max_length,
        "min_weight": float(min_weight),
    }
    optional = {
        "revision": source.revision,
        "prompts": prompts,
        "default_prompt": model.default_prompt_name,
        "max_active_dims": model.max_active_dims,
        "max_active_terms": max_active_terms,
        "precision": precision if precision == "int8" else None,
    }
    content.update({name: value for name, value in optional.items() if value})
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def parse(fingerprint: str) -> Mapping[str, Any]:
    """What a fingerprint says.

    Raises:
        IncompatibleIndexError: It was not written by :func:`describe`.
    """
    try:
        content = json.loads(fingerprint)
    except (ValueError, TypeError):
        content = None
    if not isinstance(content, dict) or not {"model", "sha256", "max_length", "min_weight"} <= content.keys():
        raise IncompatibleIndexError(
            f"the fingerprint {fingerprint!r} was not written by PixieEncoder: open the index with the encoder that it"
            " was built with"
        )
    return content


def _digest(folder: Path) -> str:
    """16 hexadecimal digits over weights, tokenizer and architecture, wherever the folder is."""
    digest = hashlib.sha256()
    paths = [
        path
        for pattern in ("*.safetensors", "tokenizer.json", "config.json", "idf.json")
        for path in folder.rglob(pattern)
        if not _OTHER_BACKENDS & set(path.relative_to(folder).parts)
    ]
    for path in sorted(paths, key=lambda path: path.relative_to(folder).as_posix()):
        if path.name == "config.json":
            content = {key: value for key, value in read_object(path).items() if key not in _INCIDENTAL}
            if "model_type" not in content:  # a pooling's, which the two folder layouts write differently
                continue
            entry = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        else:
            entry = _sha256(path)
        digest.update(f"{path.relative_to(folder).as_posix()}={entry}\n".encode())
    return digest.hexdigest()[:16]


def _sha256(path: Path) -> str:
    # The hub's cache links to large files by their SHA-256, which it verified: no need to read them again.
    target = path.resolve()
    if target != path and target.parent.name == "blobs" and _SHA256.fullmatch(target.name):
        return target.name
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
