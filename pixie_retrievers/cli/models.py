"""Which encoder a command runs with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pixie_retrievers.cli.terminal import notes

if TYPE_CHECKING:
    from pixie_retrievers.encoder.pixie import PixieEncoder
    from pixie_retrievers.index.base import Index
    from pixie_retrievers.retriever import SparseRetriever

__all__ = ["encoder_for_index", "load_encoder", "retriever_of"]


def load_encoder(model: str | None, *, device: str | None = None, precision: str = "auto") -> PixieEncoder:
    """The named model: a hub id, a folder, or ``bundled``; None is the default model.

    Raises:
        ModelUnavailableError: It is neither a folder, nor cached, nor reachable. Nothing takes its place.
    """
    return _loaded(lambda encoder: _named(encoder, model)(device=device, precision=precision))


def encoder_for_index(fingerprint: str, model: str | None, *, device: str | None = None) -> PixieEncoder:
    """The model that an index was built with, or the named one with the index's own options.

    Raises:
        ModelUnavailableError: It is neither a folder, nor cached, nor reachable.
        IncompatibleIndexError: The fingerprint is not an encoder's, or the model has changed since.
    """
    from pixie_retrievers.encoder.fingerprint import options_of
    from pixie_retrievers.text_fields import split_fingerprint

    fingerprint, _ = split_fingerprint(fingerprint)
    if model is not None:
        options = options_of(fingerprint)
        return _loaded(lambda encoder: _named(encoder, model)(device=device, **options))
    return _loaded(lambda encoder: encoder.from_fingerprint(fingerprint, device=device))


def retriever_of(index: Index, model: str | None, *, device: str | None = None) -> SparseRetriever:
    """An index with the model that it was built with, or the named one; stderr says that it is being loaded.

    Raises:
        ModelUnavailableError, IncompatibleIndexError: As for :func:`encoder_for_index`.
    """
    from pixie_retrievers.retriever import SparseRetriever

    with notes().status("loading the model"):
        encoder = encoder_for_index(index.fingerprint, model, device=device)
    return SparseRetriever(encoder, index)


def _named(encoder: type[PixieEncoder], model: str | None) -> Callable[..., PixieEncoder]:
    if model == "bundled":
        return encoder.bundled
    return encoder if model is None else lambda **options: encoder(model, **options)


def _loaded(load: Callable[[type[PixieEncoder]], PixieEncoder]) -> PixieEncoder:
    # Who searches does not need to read how a model is loaded; errors still come through.
    for name in ("transformers", "sentence_transformers", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from pixie_retrievers.encoder.pixie import PixieEncoder

    return load(PixieEncoder)
