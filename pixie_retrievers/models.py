"""An encoder as callers name it: itself, a model's name, its folder, or the one that an index was built with."""

from __future__ import annotations

import os
from typing import TypeAlias

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.text_fields import split_fingerprint

__all__ = ["EncoderChoice", "chosen_encoder"]

EncoderChoice: TypeAlias = Encoder | str | os.PathLike[str]
"""An encoder; or the name of a model on the hub, a model's folder, or ``"bundled"`` for the one in the package."""


def chosen_encoder(choice: EncoderChoice | None, fingerprint: str | None = None) -> Encoder:
    """The encoder that is meant.

    Args:
        choice: None for the one of the fingerprint, or the default model.
        fingerprint: Of the index that it is for; a model that is named takes its options.

    Raises:
        ModelUnavailableError: A model cannot be loaded.
        IncompatibleIndexError: The fingerprint is not a PixieEncoder's, or its model has changed since.
    """
    if choice is not None and not isinstance(choice, (str, os.PathLike)):
        return choice
    from pixie_retrievers.encoder.fingerprint import options_of
    from pixie_retrievers.encoder.pixie import PixieEncoder

    if fingerprint is not None:
        fingerprint, _ = split_fingerprint(fingerprint)
    if choice is None:
        return PixieEncoder() if fingerprint is None else PixieEncoder.from_fingerprint(fingerprint)
    options = {} if fingerprint is None else options_of(fingerprint)
    return PixieEncoder.bundled(**options) if choice == "bundled" else PixieEncoder(choice, **options)
