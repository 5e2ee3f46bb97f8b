"""From a checked folder to a model on its device, and how large it is."""

from __future__ import annotations

import ctypes
import math
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.forks import locks_of_models
from pixie_retrievers.encoder.forward import prompt_of
from pixie_retrievers.encoder.ordinary import first_line, load_ordinarily
from pixie_retrievers.encoder.panics import panics_refused, try_tokenizer
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError

__all__ = ["count_parameters", "limit_length", "load_model", "token_bytes", "vocabulary_size"]

_NO_LIMIT = 1 << 30
_loading = threading.Lock()
locks_of_models.add(_loading)


def load_model(folder: Path, *, device: str, precision: str) -> Any:
    """Load a folder that passed :mod:`pixie_retrievers.encoder.safety`: a ``SparseEncoder``, or what stands in for one.

    Args:
        folder: The model's folder, in either layout.
        device: A device that is there.
        precision: The name of a float type of torch, to which the stored weights are converted; or "int8", for which
            the linear layers of a float32 model are quantised.

    Raises:
        UnsafeModelError: The model needs code that came with it.
        InvalidParameterError: The model is not a SPLADE model, or has no fast tokenizer.
        ModelUnavailableError: The files are damaged or incomplete.
        DeviceUnavailableError: The precision is "int8", and products of bytes overflow here.
        OptionalDependencyError: The model needs sentence-transformers, which is not installed.
    """
    import torch

    from pixie_retrievers.encoder.direct.model import load_directly

    dtype = torch.float32 if precision == "int8" else getattr(torch, precision)
    with _loading:
        with panics_refused(f"the tokenizer in {folder}"):
            model: Any = load_directly(folder, device=device, dtype=dtype)
            if model is not None:
                try_tokenizer(model.tokenizer)
        if model is None:
            model = load_ordinarily(folder, device=device, dtype=dtype)
    from pixie_retrievers.encoder.linear import pack, quantise

    if precision == "int8":
        try:
            quantise(model)
        except (RuntimeError, AttributeError, NotImplementedError, TypeError) as error:
            raise InvalidParameterError(
                f"{folder} cannot be computed in int8 with this build of torch ({first_line(error)}):"
                " pass another precision"
            ) from error
    elif device.startswith("cpu"):
        pack(model, dtype)
    _give_back()
    return model


def _give_back() -> None:
    """Return what loading freed to the system, which the C library would keep: 66 MB of a model of PIXIE's size."""
    with suppress(AttributeError, OSError, TypeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def count_parameters(folder: Path) -> int:
    """How many numbers the weight files of a folder hold, read off their headers."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in folder.rglob("*.safetensors"):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelUnavailableError(f"{path} is damaged ({first_line(error)}): fetch the model again") from error
    return total


def vocabulary_size(model: Any) -> int:
    """The width of the model's output, as its head has it: a configuration may leave it out."""
    for module in model.modules():
        if type(module).__name__ == "BlockwisePooling":
            return int(module.embedding_dimension)
    transformer = model.transformers_model
    head = None if transformer is None else transformer.get_output_embeddings()
    return int(getattr(head, "out_features", len(model.tokenizer)))


def limit_length(model: Any, name: str, requested: int | None) -> int:
    """Make a model cut texts to a length, in tokens; None is its own limit, which is returned then.

    Raises:
        InvalidParameterError: The model does not read so many tokens, or needs more for a text of one.
    """
    limit = model.max_seq_length or model.tokenizer.model_max_length
    config = getattr(model.transformers_model, "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    # A tokenizer that knows no limit reports an absurdly large one.
    own = min(int(limit), positions if positions and positions > 0 else _NO_LIMIT)
    if requested is not None:
        if requested > own:
            raise InvalidParameterError(f"max_length is {requested}, but {name} reads at most {own} tokens")
        prompt = max(prompt_of(model, "query"), prompt_of(model, "document"), key=len)
        with panics_refused():
            needed = len(model.tokenizer(prompt + "a").input_ids)
        if requested < needed:
            raise InvalidParameterError(
                f"max_length is {requested}, but {name} needs {needed} tokens for a text of one token:"
                " special tokens and prompt count"
            )
    length = own if requested is None else requested
    model.max_seq_length = length
    return length


def token_bytes(model: Any) -> int:
    """About what one token takes while a layer of the model runs: a dozen hidden states, and those inside the layer."""
    config = getattr(model.transformers_model, "config", None)
    hidden = getattr(config, "hidden_size", None) or getattr(config, "dim", None) or 768
    inner = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", None) or 4 * hidden
    return 4 * (12 * int(hidden) + 4 * int(inner))
