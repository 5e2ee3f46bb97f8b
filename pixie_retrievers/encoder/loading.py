"""From a checked folder to a model on its device: quietly, and without a switch for foreign code."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.forks import locks_of_models
from pixie_retrievers.encoder.forward import prompt_of
from pixie_retrievers.encoder.packages import ANY_MODEL_PACKAGES, check_packages
from pixie_retrievers.encoder.panics import panics_refused
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError, UnsafeModelError

__all__ = ["count_parameters", "limit_length", "load_model", "load_ordinarily", "token_bytes", "vocabulary_size"]

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
                _try(model.tokenizer)
        if model is None:
            model = load_ordinarily(folder, device=device, dtype=dtype)
    from pixie_retrievers.encoder.linear import pack, quantise

    if precision == "int8":
        try:
            quantise(model)
        except (RuntimeError, AttributeError, NotImplementedError, TypeError) as error:
            raise InvalidParameterError(
                f"{folder} cannot be computed in int8 with this build of torch ({_first_line(error)}):"
                " pass another precision"
            ) from error
    elif device.startswith("cpu"):
        pack(model, dtype)
    return model


def load_ordinarily(folder: Path, *, device: str, dtype: Any) -> Any:
    """Load a folder with sentence-transformers, whatever it holds, in half a dozen seconds.

    Args:
        folder, device: As for :func:`load_model`.
        dtype: The float type of torch to which the stored weights are converted.

    Raises:
        UnsafeModelError, InvalidParameterError, ModelUnavailableError, OptionalDependencyError: As there.
    """
    check_packages(ANY_MODEL_PACKAGES)
    with _quiet() as complaints:
        import transformers
        from sentence_transformers import SparseEncoder

        # Renamed in transformers 4.56; the old name warns, the new one is unknown before.
        dtype_key = "dtype" if _version(transformers.__version__) >= (4, 56) else "torch_dtype"
        try:
            with panics_refused(f"the tokenizer in {folder}"):
                model = SparseEncoder(
                    str(folder),
                    device=device,
                    trust_remote_code=False,
                    local_files_only=True,
                    model_kwargs={dtype_key: dtype, "use_safetensors": True},
                )
                _try(model.tokenizer)
        except UnsafeModelError:
            raise
        except Exception as error:  # whatever the many parsers behind it raise for a damaged folder
            if "trust_remote_code" in str(error):
                raise UnsafeModelError(
                    f"{folder} needs code that came with the model, which is never run: use a model whose architecture"
                    " transformers knows itself"
                ) from error
            raise ModelUnavailableError(
                f"{folder} could not be loaded ({type(error).__name__}: {_first_line(error)}): fetch the model again,"
                " or pass another"
            ) from error
    # transformers only logs this, and goes on with random numbers in place of what is missing.
    if any("newly initialized" in complaint for complaint in complaints):
        raise ModelUnavailableError(
            f"the weights in {folder} lack parts of the model, which would be random: fetch the model again, or pass"
            " one that was trained as a masked language model"
        )
    if not any(type(module).__name__ == "SpladePooling" for module in model.modules()):
        raise InvalidParameterError(f"{folder} did not load as a SPLADE model; pass a SparseEncoder model (SPLADE)")
    if not getattr(model.tokenizer, "is_fast", False):
        raise InvalidParameterError(f"{folder} has no fast tokenizer: convert it to a tokenizer.json")
    for parameter in model.parameters():  # modules that do not take the type as an argument
        if parameter.is_floating_point() and parameter.dtype != dtype:
            parameter.data = parameter.data.to(dtype)
    model.eval()
    from pixie_retrievers.encoder.head import split_heads

    split_heads(model)
    return model


def _try(tokenizer: Any) -> None:
    """Texts of several kinds: most tokenizers that panic do so here."""
    tokenizer(["", " ", "한국어 text 1\u20e3", "\u1112\u1161\u11ab", "\U0001f34e\ufe0f\u200d", "\0\n\ufffd"])


def count_parameters(folder: Path) -> int:
    """How many numbers the weight files of a folder hold, read off their headers."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in folder.rglob("*.safetensors"):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelUnavailableError(f"{path} is damaged ({_first_line(error)}): fetch the model again") from error
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


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """Take the libraries' progress bars, warnings and log messages; yield the messages of level warning and above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between the libraries, none of the caller's making
        from transformers.utils import logging as transformers_logging

        complaints = _Complaints()
        loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers", "huggingface_hub")]
        before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
        had_bar = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        for logger in loggers:
            logger.handlers, logger.propagate = [complaints], False
            logger.setLevel(logging.WARNING)
        try:
            yield complaints.messages
        finally:
            for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
                logger.handlers, logger.propagate = handlers, propagate
                logger.setLevel(level)
            if had_bar:
                transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
