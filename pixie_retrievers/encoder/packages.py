"""The packages that run a model: an extra, because an index is searched without them."""

from __future__ import annotations

from importlib.util import find_spec

from pixie_retrievers.errors import OptionalDependencyError

__all__ = ["check_packages", "import_packages"]

_NEEDED = ("torch", "transformers", "sentence_transformers", "tokenizers", "safetensors", "huggingface_hub")


def check_packages() -> None:
    """Refuse to begin where a package is missing.

    Raises:
        OptionalDependencyError: The extra ``encoder`` is not installed.
    """
    missing = [name for name in _NEEDED if not _is_installed(name)]
    if missing:
        raise OptionalDependencyError(
            f'running a model needs {", ".join(missing)}: pip install "pixie-retrievers[encoder]"; without them'
            " an index is searched with your own vectors or encoder"
        )


def import_packages() -> None:
    """Import what loading a model imports: seconds, which a process may spend while it waits for something else."""
    import sentence_transformers  # noqa: F401  # imports torch and transformers


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False
