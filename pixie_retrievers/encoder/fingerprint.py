"""A model's identity as one line of JSON, and the model that such a line is of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.safety import read_object
from pixie_retrievers.encoder.source import BUNDLED_FOLDER, BUNDLED_NAME, ModelSource, find_model
from pixie_retrievers.errors import IncompatibleIndexError, ModelUnavailableError
from pixie_retrievers.fingerprints import content_of

__all__ = ["describe", "find_described", "options_of", "parse"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOADED = ("model.safetensors", "model-*.safetensors", "tokenizer.json", "config.json", "idf.json")
_OPTIONS = ("min_weight", "max_active_terms", "max_length", "precision")
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
    mix; "int8" stands in it, because its weights differ about three times as far as those of bfloat16. The model's name
    and revision say where it can be had; the rest says which one it is.

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
        "sha256": _digest(source),
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
    found = content_of(fingerprint)
    if found is None or found[1]:
        raise IncompatibleIndexError(
            f"the fingerprint {fingerprint!r} was not written by PixieEncoder: open the index with the encoder that it"
            " was built with"
        )
    return found[0]


def options_of(fingerprint: str) -> dict[str, Any]:
    """What an encoder is made with to be the fingerprint's, if its model is.

    Raises:
        IncompatibleIndexError: It was not written by :func:`describe`.
    """
    content = parse(fingerprint)
    return {name: content[name] for name in _OPTIONS if name in content}


def find_described(fingerprint: str) -> ModelSource:
    """The model of a fingerprint: the bundled one, the commit on the hub, or a newer one with the same files.

    Raises:
        ModelUnavailableError: It is not here, and its fingerprint does not say where, or that cannot be reached.
        IncompatibleIndexError: The fingerprint was not written by :func:`describe`.
    """
    content = parse(fingerprint)
    name, revision = str(content["model"]), content.get("revision")
    if BUNDLED_FOLDER.is_dir():
        bundled = find_model(BUNDLED_FOLDER)
        if (name, revision) == (BUNDLED_NAME, None) or content["sha256"] == _digest(bundled):
            return bundled
    options = "".join(f", {option}={value!r}" for option, value in options_of(fingerprint).items())
    way_out = (
        f" pass its folder, whatever that is called now: encoder='<folder>' (on the command line --model <folder>), or"
        f" PixieEncoder('<folder>'{options})"
    )
    if revision is None:
        raise ModelUnavailableError(
            f"the index was built with a model in a local folder named {name!r}, sha256 {content['sha256']}:{way_out}"
        )
    try:
        return find_model(name, revision)
    except ModelUnavailableError as error:
        with suppress(ModelUnavailableError):
            newest = find_model(name)
            if _digest(newest) == content["sha256"]:
                return newest
        raise ModelUnavailableError(
            f"the index was built with the model {name!r}, revision {revision}, sha256 {content['sha256']}, which is"
            " neither in the local cache nor reachable on the hub. Where the hub is reachable, fetch it with"
            f" 'hf download {name} --revision {revision} --local-dir <folder>', copy the folder here, and{way_out}"
        ) from error


def _digest(source: ModelSource) -> str:
    """16 hexadecimal digits over the weights, tokenizer and architecture that are loaded, wherever the folder is."""
    folder = source.folder
    digest = hashlib.sha256()
    paths = {path for part in source.parts for pattern in _LOADED for path in part.glob(pattern)}
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
