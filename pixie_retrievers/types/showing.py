"""How values show themselves in a notebook: by what draws them, which stands above them and is loaded when needed."""

from __future__ import annotations

from typing import Any, cast

__all__ = ["Shown"]


class Shown:
    """Is drawn by :func:`pixie_retrievers.to_html` where a notebook asks for HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        import pixie_retrievers  # the package's own door, at which names are loaded when they are first used

        drawn: str = pixie_retrievers.to_html(cast("Any", self))
        return drawn
