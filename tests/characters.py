"""Characters of several code points, and what stands between them."""

from __future__ import annotations

__all__ = ["FAMILY", "PARTS"]

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
PARTS = [
    *"aé가각한 \r\n\t", *"\u1100\u1161\u11a8\u1112\uac00\uac01", "e\u0301", *"\u0301\u20dd\u3099\u200d\u200b", FAMILY,
    "\U0001f44d\U0001f3fd", "\U0001f1f0\U0001f1f7", "\U0001f1f0", "❤\ufe0f", "1\ufe0f\u20e3", "\U0001f34e", *"क\u093e",
    "ﾊ\uff9e",
]  # fmt: skip
