"""Any model by sentence-transformers: quietly, and without a switch for foreign code."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.packages import ANY_MODEL_PACKAGES, check_packages
from pixie_retrievers.encoder.panics import panics_refused, try_tokenizer
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError, UnsafeModelError

__all__ = ["first_line", "load_ordinarily", "quiet"]


def load_ordinarily(folder: Path, *, device: str, dtype: Any) -> Any:
    """Load a folder that passed :mod:`pixie_retrievers.encoder.safety` as a ``SparseEncoder``.

    Args:
        folder: The model's folder, in either layout.
        device: A device that is there.
        dtype: The float type of torch to which the stored weights are converted.

    Raises:
        UnsafeModelError: The model needs code that came with it.
        InvalidParameterError: The model is not a SPLADE model, or has no fast tokenizer.
        ModelUnavailableError: The files are damaged or incomplete.
        OptionalDependencyError: sentence-transformers is not installed.
    """
    check_packages(ANY_MODEL_PACKAGES)
    with quiet() as complaints:
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
                try_tokenizer(model.tokenizer)
        except UnsafeModelError:
            raise
        except Exception as error:  # whatever the many parsers behind it raise for a damaged folder
            if "trust_remote_code" in str(error):
                raise UnsafeModelError(
                    f"{folder} needs code that came with the model, which is never run: use a model whose architecture"
                    " transformers knows itself"
                ) from error
            raise ModelUnavailableError(
                f"{folder} could not be loaded ({type(error).__name__}: {first_line(error)}): fetch the model again,"
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


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def first_line(error: BaseException) -> str:
    """What an error says first; the rest is for who knows the library."""
    return (str(error).strip().splitlines() or [""])[0]


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def quiet() -> Iterator[list[str]]:
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
