"""A table with its model as a folder of sentence-transformers: its ``Router``, a static embedding for queries."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.inference_free.table import QueryTable
from pixie_retrievers.encoder.ordinary import quiet
from pixie_retrievers.encoder.packages import ANY_MODEL_PACKAGES, check_packages
from pixie_retrievers.errors import IncompatibleIndexError, InvalidParameterError, OptionalDependencyError, StorageError
from pixie_retrievers.fingerprints import differences

__all__ = ["save_standard_model"]


def save_standard_model(table: QueryTable, encoder: Encoder, folder: str | os.PathLike[str]) -> None:
    """Write a model that plain sentence-transformers loads: the table for queries, the model for documents.

    Its vectors of queries are the table's, but for characters that a vocabulary has only as bytes, and for what a
    threshold leaves out.

    Args:
        table: Without expansions, for which the format has no place.
        encoder: The model that the table was derived from.
        folder: A new folder; it is there when it is whole.

    Raises:
        InvalidParameterError: The table has expansions.
        IncompatibleIndexError: The table is another model's.
        StorageError: There is something at the path, or it cannot be written.
    """
    if len(table.expansions.terms):
        raise InvalidParameterError(
            "the table has expansions, for which sentence-transformers' static embeddings have no place: derive one"
            " with expansions=False"
        )
    if found := differences(encoder.fingerprint, table.origin.model):
        raise IncompatibleIndexError(f"the table is of another model than the encoder: {found}")
    source = getattr(encoder, "folder", None)
    if source is None:
        raise InvalidParameterError(f"a {type(encoder).__name__} has no folder of a model: pass a PixieEncoder")
    target = Path(folder)
    if target.exists():
        raise StorageError(f"{target} already exists: name a new folder")
    check_packages(ANY_MODEL_PACKAGES)
    draft = Path(mkdtemp(prefix=f".{target.name}.", dir=target.parent if target.parent.is_dir() else None))
    try:
        with quiet():
            _write(table, source, draft)
        draft.chmod(0o755)
        draft.rename(target)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}: check the folder's space and permissions") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(table: QueryTable, source: Path, folder: Path) -> None:
    import torch
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(source), device="cpu")
    parts: list[Any] = [module for _, module in model.named_children()]
    if any(type(part).__name__ == "Router" for part in parts):
        raise InvalidParameterError("the model has a route for queries already, which needs no table")
    weights = torch.from_numpy(table.weights.copy())
    queries = _class("SparseStaticEmbedding")(tokenizer=model.tokenizer, weight=weights, frozen=True)
    router = _class("Router").for_query_document([queries], parts)
    both = SparseEncoder(modules=[router], similarity_fn_name=model.similarity_fn_name, device="cpu")
    both.prompts = {name: prompt for name, prompt in model.prompts.items() if name != "query"}
    both.save_pretrained(str(folder), create_model_card=False)


def _class(name: str) -> Any:
    """A part of sentence-transformers, which moved between its versions 5 and 6."""
    for home in ("sparse_encoder.modules", "sparse_encoder.models", "models"):
        with suppress(ImportError):
            if found := getattr(import_module(f"sentence_transformers.{home}"), name, None):
                return found
    raise OptionalDependencyError(f"this version of sentence-transformers has no {name}: upgrade it")
