"""What a model's description may say, whichever file says it: nothing that names code, and no size without bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixie_retrievers.errors import UnsafeModelError

__all__ = ["check_description"]

_NAMES_CODE = frozenset(
    (
        "auto_map",
        "custom_pipelines",
        "custom_generate",
        "trust_remote_code",
        "use_kernels",
        "kernel_config",
        "allow_all_kernels",
        "quantization_config",
        "base_model_name_or_path",
    )
)
_IMPLEMENTATION = re.compile(r"_*(attn|experts)_implementation(_internal)?_*")
_IMPLEMENTATIONS = (
    *(None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"),
    *("batched_mm", "grouped_mm"),
)
"""What transformers has itself. Any other name is that of a kernel on the hub: compiled code, and fetched."""

_MAX_DEPTH = 32
_MOST_NAMED = (
    (re.compile(r".*(layers?|blocks)"), 1_000),
    (re.compile(r".*(heads|experts)"), 10_000),
    (re.compile(r"(vocab|type_vocab)_size"), 1 << 20),
    (re.compile(r".*(hidden|intermediate|embedding|model|inner|ffn)_?(size|dim|dimension)|d_\w+|n_embd"), 1 << 17),
    (re.compile(r"(max|n)_position.*|n_ctx"), 1 << 24),
)
_MOST_WEIGHTS = 1 << 32
"""Of a matrix of all terms."""
_ADDED = ("added_tokens", "added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")
_MOST_ADDED = 10_000
_MOST_PROMPTS, _LONGEST_PROMPT = 1_000, 10_000
_TOO_MANY_PROMPTS = f"the prompts are more than {_MOST_PROMPTS:,}, or longer than {_LONGEST_PROMPT:,} characters"
_LONGEST_EXPRESSION = 2_000
_LONGEST_REPLACEMENT = 100
_LARGEST_REPEAT = 1_000


def check_description(content: Any, where: Path) -> None:
    """Refuse a description that could run code, or take memory or time without end.

    Args:
        content: What a JSON file holds.
        where: The file, for the message.

    Raises:
        UnsafeModelError: It names code, or a size is out of bounds.
    """
    for key, value, depth in _items(content):
        if depth > _MAX_DEPTH:
            raise UnsafeModelError(f"{where} is nested deeper than {_MAX_DEPTH} levels: it is refused")
        if key in _NAMES_CODE and value not in (None, False):
            raise UnsafeModelError(
                f"{where} sets {key!r}, which can name code, and code that comes with a model is never run: remove the"
                " setting where you trust the model"
            )
        if _IMPLEMENTATION.fullmatch(key) and not all(name in _IMPLEMENTATIONS for name in _leaves(value)):
            raise UnsafeModelError(
                f"{where} sets {key!r} to code that is not transformers' own: remove the setting where you trust the"
                " model"
            )
        reason = _out_of_bounds(key, value)
        if reason:
            raise UnsafeModelError(f"{where}: {reason}, which no model needs: it is refused")
    if isinstance(content, dict):
        n_terms, size = content.get("vocab_size"), content.get("hidden_size")
        if isinstance(n_terms, int) and isinstance(size, int) and n_terms * size > _MOST_WEIGHTS:
            raise UnsafeModelError(f"{where}: vocab_size times hidden_size is above {_MOST_WEIGHTS}: it is refused")


def _out_of_bounds(key: str, value: Any) -> str | None:
    """Why a setting is refused."""
    if type(value) is int:
        for names, most in _MOST_NAMED:
            if names.fullmatch(key) and not -1 <= value <= most:
                return f"{key!r} is not from 0 to {most:,}"
    if key in _ADDED and isinstance(value, (list, dict)) and len(value) > _MOST_ADDED:
        return f"{key!r} holds more than {_MOST_ADDED:,} tokens"
    if key == "prompts" and isinstance(value, dict):
        longest = max((len(prompt) for prompt in value.values() if isinstance(prompt, str)), default=0)
        return _TOO_MANY_PROMPTS if len(value) > _MOST_PROMPTS or longest > _LONGEST_PROMPT else None
    if key == "Regex" and isinstance(value, str):
        repeats = [int(number[:9]) for number in re.findall(r"[{,]\s*(\d+)", value)]
        if len(value) > _LONGEST_EXPRESSION or max(repeats, default=0) > _LARGEST_REPEAT:
            return (
                f"an expression of the tokenizer is longer than {_LONGEST_EXPRESSION:,} characters, or repeats a part"
                f" more than {_LARGEST_REPEAT:,} times"
            )
    if key in ("content", "prepend", "replacement") and isinstance(value, str) and len(value) > _LONGEST_REPLACEMENT:
        return f"a token or replacement of the tokenizer is longer than {_LONGEST_REPLACEMENT} characters"
    return None


def _items(content: Any) -> Iterator[tuple[str, Any, int]]:
    """Every key, its value, and how deep it stands. A vocabulary is words, whatever they look like."""
    pending = [(content, 1)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, dict):
            for key, item in value.items():
                yield key, item, depth
                if key not in ("vocab", "merges"):
                    pending.append((item, depth + 1))
        elif isinstance(value, list):
            pending.extend((item, depth + 1) for item in value if isinstance(item, (dict, list)))


def _leaves(value: Any) -> list[Any]:
    """The value, or those of a dict, as for the parts of a model; a list and what is deeper are none."""
    values = list(value.values()) if isinstance(value, dict) else [value]
    return ["" if isinstance(item, (dict, list)) else item for item in values]
