"""Where a model comes from: a folder, the hub's local cache, or the hub."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixie_retrievers.encoder.packages import HUB_PACKAGES, check_packages
from pixie_retrievers.encoder.safety import check_modules, check_weights
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError, UnsafeModelError
from pixie_retrievers.parameters import check_path

__all__ = ["BUNDLED_FOLDER", "BUNDLED_NAME", "ModelSource", "find_model"]

BUNDLED_NAME = "pixie-nano"
BUNDLED_FOLDER = Path(__file__).parent / "nano"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG_TIMEOUT_S = 5.0
_DESCRIPTIONS = ["*.json", "*.txt", "*.model"]
_WEIGHT_FILES = ("model.safetensors", "model-*.safetensors", "idf.json")
_OTHER_BACKENDS = ["onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*"]

_logger = logging.getLogger("pixie_retrievers")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that was found, checked, and is ready to load.

    Attributes:
        name: The hub's id, the folder's own name, or :data:`BUNDLED_NAME`.
        folder: Where its files are.
        parts: The folders in it that hold weights.
        revision: The commit on the hub; None for a folder.
    """

    name: str
    folder: Path
    parts: tuple[Path, ...]
    revision: str | None = None


def find_model(model: str | os.PathLike[str], revision: str | None = None) -> ModelSource:
    """Find a model's files, fetching what the local cache lacks, and check that they are safe to load.

    Args:
        model: A folder, or a model's id on the hub ("telepix/PIXIE-Splade-Preview").
        revision: A branch, tag or commit on the hub; None is the newest.

    Raises:
        ModelUnavailableError: There is no such folder, or the hub's model is neither cached nor reachable.
        UnsafeModelError: Loading it would run code or unpickle data that came with it.
        InvalidParameterError: What was found is not a SPLADE model, ``revision`` was passed with a folder, or one of
            the two is not a string.
    """
    check_path("model", model)
    if revision is not None and not isinstance(revision, str):
        raise InvalidParameterError(
            f"revision is of type {type(revision).__name__}; it must be a string, or None for the newest"
        )
    name = os.fspath(model)
    folder = Path(name).expanduser()
    if name and _is_folder(folder):
        if revision is not None:
            raise InvalidParameterError(f"revision is {revision!r}, but {name!r} is a folder: leave it out")
        parts = check_modules(folder)
        for part in parts:
            check_weights(part)
        bundled = folder.resolve() == BUNDLED_FOLDER.resolve()
        return ModelSource(BUNDLED_NAME if bundled else folder.resolve().name, folder, tuple(parts))
    if isinstance(model, os.PathLike) or not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise ModelUnavailableError(
            f"there is no model folder at {name!r}, and it is not the id of a model on the hub ('owner/name'):"
            " check the path, or use PixieEncoder.bundled(), which needs no download"
        )
    return _from_hub(name, revision)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # the name is too long for a file
        return False


def _from_hub(name: str, revision: str | None) -> ModelSource:
    check_packages(HUB_PACKAGES)
    if revision is not None and _COMMIT.fullmatch(revision):  # it never changes: the hub has nothing to add
        cached = _cached(name, revision)
        if cached is not None:
            return cached
    folder = _fetch(name, revision, _DESCRIPTIONS)
    commit = folder.name if _COMMIT.fullmatch(folder.name) else None
    needed = check_modules(folder)  # before the large files are fetched
    if not all(_has_weights(path) for path in needed):
        _logger.info("fetching the weights of %s", name)
        prefixes = [path.relative_to(folder).as_posix().removeprefix(".") for path in needed]
        patterns = [f"{prefix}/{file}".lstrip("/") for prefix in prefixes for file in _WEIGHT_FILES]
        folder = _fetch(name, commit or revision, patterns, show_progress=True)
    for path in needed:
        check_weights(path)
    return ModelSource(name, folder, tuple(needed), commit)


def _cached(name: str, commit: str) -> ModelSource | None:
    """A commit that the local cache holds whole; None if it does not.

    Raises:
        UnsafeModelError: It does, and the model is not safe to load.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(
                name,
                revision=commit,
                allow_patterns=_DESCRIPTIONS,
                ignore_patterns=_OTHER_BACKENDS,
                cache_dir=_cache_folder(),
                local_files_only=True,
            )
        )
        parts = check_modules(folder)
    except (OSError, ModelUnavailableError, InvalidParameterError):  # the hub's own errors for this are OSErrors
        return None
    return ModelSource(name, folder, tuple(parts), commit) if all(map(_has_weights, parts)) else None


def _has_weights(folder: Path) -> bool:
    try:
        check_weights(folder)
    except (ModelUnavailableError, UnsafeModelError):
        return False
    return True


def _fetch(name: str, revision: str | None, patterns: list[str], *, show_progress: bool = False) -> Path:
    """The snapshot's folder in the local cache, once the files that match are there."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        if revision is not None and _COMMIT.fullmatch(revision):
            # A name is resolved in one request, a commit is listed with many retries: see first who is there.
            HfApi().model_info(name, revision=revision, timeout=_ETAG_TIMEOUT_S)
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=patterns,
                ignore_patterns=_OTHER_BACKENDS,
                etag_timeout=_ETAG_TIMEOUT_S,
                cache_dir=_cache_folder(),
                library_name="pixie-retrievers",
                # A download of hundreds of megabytes shows the hub's own progress bar; a look-up shows nothing.
                tqdm_class=None if show_progress else _silent_tqdm(),
            )
        )
    except Exception as error:  # the hub raises its own, httpx's, requests' and OS errors: all mean the same here
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelUnavailableError(
            f"the model {name!r}{f' (revision {revision})' if revision else ''} is neither in the local cache nor"
            f" reachable on the hub ({reason}). Connect once, so that it is cached; or pass the path of a folder that"
            " holds it; or use PixieEncoder.bundled(), a small model that needs no download"
        ) from error


def _cache_folder() -> str | None:
    """Where sentence-transformers keeps its own downloads; None is the hub's own place."""
    return os.environ.get("SENTENCE_TRANSFORMERS_HOME")


def _silent_tqdm() -> type:
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class SilentTqdm(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

    return SilentTqdm
