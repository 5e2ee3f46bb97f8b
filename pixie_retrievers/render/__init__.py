"""Explanations as a person reads them: rich renderables for a terminal, plain text, and HTML.

Pure functions of results. Whatever stands in a document is data here: characters that a terminal would obey, or show
nothing of, are made visible before they reach one, no text is read as rich markup, and every string that enters HTML
goes through one escaping function.
"""

from pixie_retrievers.render.found import show
from pixie_retrievers.render.html import to_html
from pixie_retrievers.render.terminal import (
    LEGEND,
    RAISED,
    comparison_view,
    explanation_view,
    result_view,
    results_view,
    text_view,
    to_text,
    why_not_view,
)
from pixie_retrievers.render.words import UNSEEN, largest_contribution

__all__ = [
    "LEGEND",
    "RAISED",
    "UNSEEN",
    "comparison_view",
    "explanation_view",
    "largest_contribution",
    "result_view",
    "results_view",
    "show",
    "text_view",
    "to_html",
    "to_text",
    "why_not_view",
]
