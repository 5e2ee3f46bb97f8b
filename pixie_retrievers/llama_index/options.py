"""What a caller may set of a PixieRetriever, refused before a model is loaded for it or a file made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from pixie_retrievers.llama_index.filters import translate
from pixie_retrievers.parameters import check_score_threshold, check_top_k_tokens, check_whole_number, refuse_unknown
from pixie_retrievers.rules.asking import check_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llama_index.core.callbacks.base import CallbackManager

    from pixie_retrievers.llama_index.filters import NodeFilter
    from pixie_retrievers.rules.asking import RulesChoice

__all__ = ["Narrowing", "RetrieverOptions", "check_options"]

_CHECKS: dict[str, Callable[[Any], object]] = {
    "similarity_top_k": partial(check_whole_number, "similarity_top_k"),
    "filters": translate,
    "score_threshold": check_score_threshold,
    "top_k_tokens": check_top_k_tokens,
    "rules": check_rules,
}


class RetrieverOptions(TypedDict, total=False):
    """What every constructor of :class:`PixieRetriever` takes beside its sources; see there."""

    similarity_top_k: int
    filters: NodeFilter | None
    score_threshold: float | None
    top_k_tokens: int | None
    rules: RulesChoice
    callback_manager: CallbackManager | None
    object_map: dict[str, Any] | None
    verbose: bool


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what a retriever would refuse, before a model is loaded for it or a file made."""
    refuse_unknown(
        "PixieRetriever",
        sorted(options.keys() - RetrieverOptions.__annotations__.keys()),
        ", ".join(RetrieverOptions.__annotations__),
    )
    for name, check in _CHECKS.items():
        if name in options:
            check(options[name])


class Narrowing:
    """How many nodes come back, and which: settings that every retriever here has, checked when they are set."""

    @property
    def similarity_top_k(self) -> int:
        """At most so many nodes come back."""
        return self._similarity_top_k

    @similarity_top_k.setter
    def similarity_top_k(self, value: int) -> None:
        check_whole_number("similarity_top_k", value)
        self._similarity_top_k = int(value)  # numpy's become Python's

    @property
    def filters(self) -> NodeFilter | None:
        """Which nodes count, as it was set."""
        return self._filters

    @filters.setter
    def filters(self, value: NodeFilter | None) -> None:
        translate(value)  # a mistake shows where it is made
        self._filters = value
