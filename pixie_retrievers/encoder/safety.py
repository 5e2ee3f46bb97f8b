"""What a model folder may ask for: checked by reading, before anything in it is imported or loaded."""

from __future__ import annotations

import json
from pathlib import Path, PureWindowsPath
from typing import Any

from pixie_retrievers.encoder.limits import check_description
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError, UnsafeModelError

__all__ = ["check_modules", "check_weights", "read_json", "read_object"]

# The classes a SPLADE model is made of, with the file that defines each today.
_CLASSES = {
    "Transformer": "transformer",
    "MLMTransformer": "mlm_transformer",
    "SpladePooling": "splade_pooling",
    "SparseStaticEmbedding": "sparse_static_embedding",
    "Router": "router",
    "Asym": "router",
}
# sentence-transformers 5 wrote the first two packages, later versions write the others.
_PACKAGES = (
    "sentence_transformers.models",
    "sentence_transformers.sparse_encoder.models",
    "sentence_transformers.sparse_encoder.modules",
    "sentence_transformers.base.modules",
)
# Version 5 kept each class in a file of its own name, and routers spell that out.
_SAFE_TYPES = frozenset(
    f"{package}.{path}"
    for package in _PACKAGES
    for name, file in _CLASSES.items()
    for path in (name, f"{name}.{name}", f"{file}.{name}")
)
_WITH_WEIGHTS = ("Transformer", "MLMTransformer", "SparseStaticEmbedding")
_TRANSFORMERS = ("Transformer", "MLMTransformer")
_ROUTERS = ("Router", "Asym")

_MAX_ROUTERS = 8  # one inside the other
_MAX_BYTES = 64 << 20  # of a description; tokenizers of 250,000 words take 20 MB
# Settings that a folder may hand on to the loading functions of transformers. Others can name code to fetch.
_SAFE_SETTINGS = {
    "attn_implementation",
    "dtype",
    "torch_dtype",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "do_lower_case",
    "add_prefix_space",
    "use_fast",
}
_WORDS = ("vocab.json", "idf.json")
_SETTINGS_KEYS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds; empty when there is no such file.

    Raises:
        ModelUnavailableError: The file cannot be read or holds something else.
    """
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise ModelUnavailableError(f"{path} does not hold a JSON object: fetch the model again")
    return content


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ModelUnavailableError: The file cannot be read.
        UnsafeModelError: It is larger than any model's description.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UnsafeModelError(f"{path} takes more than {_MAX_BYTES >> 20} MiB, which no model's description does")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # the last for brackets thousands deep
        raise ModelUnavailableError(f"{path} cannot be read ({error}): fetch the model again") from error


def check_modules(folder: Path) -> list[Path]:
    """Check that a model is made of sentence-transformers' own SPLADE modules; return the folders that need weights.

    Args:
        folder: A folder in either layout: what sentence-transformers 5 wrote, or what it writes today. A plain masked
            language model without ``modules.json`` is taken too, and pooled by maximum.

    Raises:
        UnsafeModelError: A module, or a setting of one, is not known to be safe.
        InvalidParameterError: The folder is sound, but does not hold a SPLADE model.
        ModelUnavailableError: A file is missing or cannot be read.
    """
    modules_path = folder / "modules.json"
    if not modules_path.is_file():
        if (folder / "config_sentence_transformers.json").is_file():
            raise ModelUnavailableError(f"{folder} lacks its modules.json: fetch the model again")
        architectures = read_object(folder / "config.json").get("architectures") or []
        if not any(str(name).endswith("ForMaskedLM") for name in architectures):
            raise InvalidParameterError(
                f"{folder} does not hold a SPLADE model: there is neither a modules.json nor the config.json of a"
                " masked language model; pass a folder that SparseEncoder.save_pretrained wrote"
            )
        return [_check_transformer(folder)]
    modules = read_json(modules_path)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelUnavailableError(f"{modules_path} is not a list of modules: fetch the model again")
    parts = [(str(module.get("type")), _inside(folder, module.get("path", ""), modules_path)) for module in modules]
    names: list[str] = []
    with_weights: list[Path] = []
    for type_, path in parts:
        its_names, its_folders = _check_module(_check_type(type_, modules_path), path)
        names += its_names
        with_weights += its_folders
    if folder not in [path for _, path in parts]:
        _check_descriptions(folder)
    if "SpladePooling" not in names:
        raise InvalidParameterError(
            f"{folder} does not hold a SPLADE model: its modules are {', '.join(names)}, without SpladePooling"
        )
    # Without this word sentence-transformers would put a new, untrained module behind the model's own.
    kind = read_object(folder / "config_sentence_transformers.json").get("model_type")
    if kind != "SparseEncoder":
        raise InvalidParameterError(
            f"{folder}/config_sentence_transformers.json has model_type {kind!r}; a SPLADE model has 'SparseEncoder'"
        )
    return with_weights


def check_weights(folder: Path) -> None:
    """Check that a module's folder has its weights as safetensors, all of them.

    Raises:
        UnsafeModelError: There are weights, but only in a form that is unpickled when it is loaded.
        ModelUnavailableError: Weights are missing.
    """
    index_path = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or (folder / "idf.json").is_file():
        return
    if index_path.is_file():
        shards = {str(name) for name in read_object(index_path).get("weight_map", {}).values()}
        missing = sorted(name for name in shards if not _inside(folder, name, index_path).is_file())
        if missing:
            raise ModelUnavailableError(
                f"{folder} lacks {', '.join(missing)}, which its index names: fetch the model again"
            )
        return
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in folder.glob(pattern))
    if pickled:
        raise UnsafeModelError(
            f"{folder} has its weights only as {', '.join(pickled)}, which are unpickled when they are loaded and can"
            " run any code: convert them to model.safetensors where you trust them"
        )
    raise ModelUnavailableError(f"{folder} has no model.safetensors: fetch the model again, or pass another")


def _check_type(type_: str, where: Path) -> str:
    if type_ not in _SAFE_TYPES:
        raise UnsafeModelError(
            f"{where} asks for a module of type {type_!r}, which is not one of sentence-transformers' SPLADE modules:"
            " loading it could run code that came with the model, so it is refused"
        )
    return type_.rpartition(".")[2]


def _check_module(name: str, folder: Path, depth: int = 0) -> tuple[list[str], list[Path]]:
    """The class names of a module and of all behind it, and the folders that need weights."""
    if name in _ROUTERS:
        names, with_weights = _check_router(folder, depth + 1)
        return [name, *names], with_weights
    if name in _TRANSFORMERS:
        _check_transformer(folder)
    else:
        _check_descriptions(folder)
    return [name], [folder] if name in _WITH_WEIGHTS else []


def _check_router(folder: Path, depth: int) -> tuple[list[str], list[Path]]:
    """The same of the modules that a router leads to, which may be routers themselves."""
    if depth > _MAX_ROUTERS:
        raise UnsafeModelError(f"{folder} lies behind more than {_MAX_ROUTERS} routers, or a router leads to itself")
    _check_descriptions(folder)
    # Which of the two counts differs between versions: what either leads to is held to the same.
    paths = [folder / "router_config.json", folder / "config.json"]
    found = {path: types for path in paths if (types := read_object(path).get("types")) is not None}
    if not found or not all(isinstance(types, dict) for types in found.values()):
        raise ModelUnavailableError(
            f"{paths[0]} does not say which modules the router consists of: fetch the model again"
        )
    names: list[str] = []
    with_weights: list[Path] = []
    for path, types in found.items():
        for module_id, type_ in types.items():
            name = _check_type(str(type_), path)
            its_names, its_folders = _check_module(name, _inside(folder, module_id, path), depth)
            names += its_names
            with_weights += its_folders
    return names, with_weights


def _check_transformer(folder: Path) -> Path:
    if (folder / "adapter_config.json").is_file():
        raise UnsafeModelError(
            f"{folder} is an adapter, which would load a second model from elsewhere:"
            " merge it into its base model and save that"
        )
    for path in sorted(folder.glob("sentence_*_config.json")):
        config = read_object(path)
        for key in _SETTINGS_KEYS:
            for name, value in (config.get(key) or {}).items():
                _check_setting(name, value, path)
    _check_descriptions(folder)
    return folder


def _check_descriptions(folder: Path) -> None:
    """Hold all that a module's folder says to what it may say; weights and lists of words are not descriptions."""
    for path in sorted(folder.glob("*.json")):
        if path.name not in _WORDS and not path.name.endswith(".index.json"):
            check_description(read_json(path), path)


def _check_setting(name: str, value: Any, where: Path) -> None:
    if name not in _SAFE_SETTINGS or isinstance(value, dict | list):
        raise UnsafeModelError(
            f"{where} sets {name!r} in a way that is not known to be safe: remove the setting where you trust the model"
        )


def _inside(folder: Path, relative: Any, where: Path) -> Path:
    """A path inside a folder, without looking at what is there."""
    parts = PureWindowsPath(str(relative))  # splits at both kinds of slashes and knows drives
    if parts.anchor or ".." in parts.parts or "\0" in str(relative):
        raise UnsafeModelError(f"{where} points outside the model's folder ({relative!r}): it is refused")
    return folder / str(relative)
