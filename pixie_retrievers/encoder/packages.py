"""The packages that run a model, or read a question without one: extras, because an index is searched without them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from pixie_retrievers.errors import OptionalDependencyError

__all__ = [
    "ANY_MODEL_PACKAGES",
    "HUB_PACKAGES",
    "MODEL_PACKAGES",
    "TABLE_PACKAGES",
    "check_packages",
    "import_packages",
]

TABLE_PACKAGES = ("tokenizers", "safetensors")
MODEL_PACKAGES = ("torch", *TABLE_PACKAGES)
"""What a ModernBERT in a folder needs."""
ANY_MODEL_PACKAGES = (*MODEL_PACKAGES, "transformers", "sentence_transformers")
"""What any other needs."""
HUB_PACKAGES = ("huggingface_hub",)
"""What fetches models."""


def check_packages(needed: Sequence[str] = MODEL_PACKAGES) -> None:
    """Refuse to begin where a package is missing.

    Raises:
        OptionalDependencyError: The extra ``encoder``, or ``inference-free``, is not installed.
    """
    missing = [name for name in needed if not _is_installed(name)]
    if not missing:
        return
    by_table = needed is TABLE_PACKAGES
    what, extra = ("reading questions", "inference-free") if by_table else ("running a model", "encoder")
    raise OptionalDependencyError(
        f'{what} needs {", ".join(missing)}: pip install "pixie-retrievers[{extra}]"; without them an index is searched'
        " with your own vectors or encoder"
    )


def import_packages() -> None:
    """Import what loading a model imports: seconds, which a process may spend while it waits for something else."""
    import torch  # noqa: F401


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False
