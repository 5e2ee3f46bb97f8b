"""A tokenizer as its file has it, for what transformers would do no more with than read the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pixie_retrievers.encoder.direct.known import (
    AnotherKind,
    anything,
    check_keys,
    is_count,
    is_flag,
    is_id,
    is_number,
    one_of,
)
from pixie_retrievers.encoder.safety import read_object

__all__ = ["FileTokenizer", "TokenIds", "read_tokenizer"]

_NAMED = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_LISTS = ("additional_special_tokens", "extra_special_tokens")
_BERT = ("BertTokenizer", "BertTokenizerFast")
_MOST_TERMS = 100_000  # of larger vocabularies, transformers may mend the pre-tokenizer


def _is_described(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("content"), str)


def _is_token(value: Any) -> bool:
    return isinstance(value, str) or _is_described(value)


def _is_token_list(value: Any) -> bool:
    return value in (None, {}) or (isinstance(value, list) and all(map(_is_token, value)))


_TOKENS = {
    **dict.fromkeys(_NAMED, lambda value: value is None or _is_token(value)),
    **dict.fromkeys(_LISTS, _is_token_list),
}
_CONFIG = {
    **_TOKENS,
    "tokenizer_class": one_of("PreTrainedTokenizerFast", "TokenizersBackend", *_BERT),
    # Of BERT's class; without it they say nothing.
    **dict.fromkeys(("do_lower_case", "tokenize_chinese_chars"), is_flag),
    "strip_accents": one_of(None, True, False),
    "do_basic_tokenize": one_of(True),
    "never_split": one_of(None),
    "added_tokens_decoder": lambda value: isinstance(value, dict) and all(map(_is_described, value.values())),
    "model_max_length": lambda value: is_number(value) and value >= 1,
    "truncation_side": one_of("right", "left"),
    "padding_side": one_of("right"),
    "split_special_tokens": one_of(False),
    "backend": one_of("tokenizers"),
    # ModernBERT takes no token types.
    "model_input_names": one_of(["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]),
    # How texts are cut and filled up is said at every call.
    **dict.fromkeys(("max_length", "pad_to_multiple_of"), lambda value: value is None or is_count(value)),
    **dict.fromkeys(("stride", "pad_token_type_id"), is_id),
    "truncation_strategy": one_of("longest_first"),
    **dict.fromkeys(("clean_up_tokenization_spaces", "is_local", "local_files_only"), is_flag),
    "name_or_path": anything,
}


class TokenIds(NamedTuple):
    """What a tokenizer made of a text, or of several."""

    input_ids: list[Any]


class FileTokenizer:
    """Has the names of a fast tokenizer of transformers that are used here, and does what they do.

    Args:
        backend: The tokenizer of ``tokenizers``.
        all_special_tokens: The special tokens that have a role in the model.
        model_max_length: How many tokens a text may have by its description.
        truncation_side: From which side a long text is cut.
        pad_token: What fills up short texts in a batch.

    Attributes:
        backend_tokenizer, all_special_tokens, model_max_length, truncation_side: As they were passed.
        all_special_ids: The special tokens' terms.
        pad_token_id: The term of ``pad_token``.
    """

    is_fast = True
    padding_side = "right"

    def __init__(
        self,
        backend: Any,
        all_special_tokens: Sequence[str],
        *,
        model_max_length: int,
        truncation_side: str,
        pad_token: str,
    ) -> None:
        self.backend_tokenizer = backend
        self.all_special_tokens = list(all_special_tokens)
        self.all_special_ids = [backend.token_to_id(token) for token in self.all_special_tokens]
        self.model_max_length = model_max_length
        self.truncation_side = truncation_side
        self.pad_token_id = backend.token_to_id(pad_token)

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size())

    def __call__(self, text: str | Sequence[str], max_length: int | None = None) -> TokenIds:
        """The tokens of a text, or of each of some, special ones included.

        Args:
            text: A text, or several.
            max_length: Where they are cut; None for nowhere.
        """
        if max_length is None:
            self.backend_tokenizer.no_truncation()
        else:
            self.backend_tokenizer.enable_truncation(max_length, direction=self.truncation_side)
        if isinstance(text, str):
            return TokenIds(self.backend_tokenizer.encode(text).ids)
        return TokenIds([encoding.ids for encoding in self.backend_tokenizer.encode_batch(text)])


def read_tokenizer(folder: Path, n_terms: int) -> FileTokenizer:
    """The tokenizer in a folder.

    Args:
        folder: The network's folder.
        n_terms: How many terms the network has.

    Raises:
        AnotherKind: transformers might do more than to read the file, or the file is damaged.
        ModelUnavailableError: A description cannot be read.
    """
    from tokenizers import Tokenizer

    config = read_object(folder / "tokenizer_config.json")
    check_keys(config, _CONFIG)
    named = read_object(folder / "special_tokens_map.json")
    check_keys(named, _TOKENS)
    try:
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises this very class
        raise AnotherKind("tokenizer.json") from error
    if "tokenizer_class" not in config or config.get("pad_token") is None:
        raise AnotherKind("tokenizer_config.json")
    if backend.post_processor is None or backend.get_vocab_size() > _MOST_TERMS:
        raise AnotherKind("tokenizer.json")
    if config["tokenizer_class"] in _BERT:
        _check_bert(config, json.loads(backend.to_str()))
    cut, filled = backend.truncation or {}, backend.padding or {}
    if filled.get("direction", "right") != "right":
        raise AnotherKind("padding_side")
    backend.no_padding()
    added = {token.content: _as_dict(id, token) for id, token in backend.get_added_tokens_decoder().items()}
    _check_added(config.get("added_tokens_decoder"), added)
    _check_same(config, named)
    special = list(dict.fromkeys(_special(config, added)))
    if any(added[token]["id"] >= n_terms for token in special):
        raise AnotherKind("special tokens")
    return FileTokenizer(
        backend,
        special,
        model_max_length=int(config.get("model_max_length", 1e30)),
        truncation_side=config.get("truncation_side", cut.get("direction", "right")),
        pad_token=str(_content(config["pad_token"])),
    )


def _check_bert(config: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """See that the file's parts are those that BERT's class makes: some versions take its own, and some the file's."""
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
        "strip_accents": config.get("strip_accents"),
        "lowercase": config.get("do_lower_case", True),
    }
    model = {"type": "WordPiece", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    model["unk_token"] = _content(config.get("unk_token", "[UNK]"))
    if (
        parts["normalizer"] != normalizer
        or parts["pre_tokenizer"] != {"type": "BertPreTokenizer"}
        or {name: parts["model"].get(name) for name in model} != model
    ):
        raise AnotherKind("tokenizer_class")


def _as_dict(id: int, token: Any) -> dict[str, Any]:
    names = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return {"id": id, **{name: getattr(token, name) for name in names}}


def _content(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token


def _special(config: Mapping[str, Any], added: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The special tokens with a role; each is in the tokenizer's file already, and as it is described."""
    tokens = [config.get(name) for name in _NAMED]
    for name in _LISTS:
        tokens += config.get(name) or []
    found = []
    for token in tokens:
        if token is None:
            continue
        text = _content(token)
        if text is None or text not in added or not added[text]["special"]:
            raise AnotherKind("special tokens")
        _check_token(token, added[text])
        found.append(text)
    return found


def _check_added(described: Mapping[str, Any] | None, added: Mapping[str, Mapping[str, Any]]) -> None:
    """The configuration's list of added tokens adds nothing to the file's."""
    for id, token in (described or {}).items():
        known = added.get(str(_content(token)))
        if known is None or str(known["id"]) != id:
            raise AnotherKind("added_tokens_decoder")
        _check_token(token, known)


def _check_token(described: str | Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name, value in () if isinstance(described, str) else described.items():
        if name != "__type" and (name not in known or known[name] != value):
            raise AnotherKind("added_tokens_decoder")


def _check_same(config: Mapping[str, Any], named: Mapping[str, Any]) -> None:
    """Both files name the same tokens: which of them counts depends on the version and on what else they say."""
    for name, token in named.items():
        both = [token, config.get(name)]
        lists = [[_content(item) for item in (value if isinstance(value, list) else [value])] for value in both]
        if lists[0] != lists[1]:
            raise AnotherKind("special_tokens_map.json")
