"""Train the tokenizer of the bundled model: a Unigram model whose pieces ignore where they stand in a word."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BYTE_PIECES = [f"<0x{value:02X}>" for value in range(256)]

# Endings that the pruning below treats as separable when they follow a stem that is a piece itself.
_ENDINGS = (  # noqa: SIM905 - one a line would be no easier to read
    "을 를 이 가 은 는 의 에 와 과 도 로 만 으로 에서 에게 에는 에도 으로부터 부터 까지 보다 처럼 "
    "마다 이나 이라 라는 이라는 이란 란 에서는 에서도 으로는 로는 로서 으로서 로써 으로써 와의 과의 "
    "에의 하고 하는 하다 하여 하며 하면 해서 했다 한다 하지 하기 할 한 함 된 되는 되어 되었다 된다 "
    "될 됨 이다 이며 입니다 인 였다 이었다 인가 인가요 들 들은 들이 들을 들의 적 적인 적으로 시키는 "
    "시킨 합니다 됩니다 하였다 하거나 하기를 하는지 했던 하던 해야 이고 이라고 라고 라도 이라도"
).split()
# After a stem of one syllable only endings that are hardly ever part of a noun are cut off ("법에서", but not "가을").
_SAFE_AFTER_ONE_SYLLABLE = set("를 에서 으로 에게 에는 에도 부터 까지 에서는 들은 들이 들을".split())  # noqa: SIM905


def normalizer() -> normalizers.Normalizer:
    """Return NFKC, no invisible format characters, lower case."""
    return normalizers.Sequence(
        [
            # Korean statutes write their middle dot as the letter U+318D, which NFKC would turn into a vowel.
            normalizers.Replace("\u318d", "\u00b7"),
            normalizers.NFKC(),
            normalizers.Replace(Regex(r"\p{Cf}"), ""),
            normalizers.Lowercase(),
        ]
    )


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Return the splitter: spaces, punctuation, single digits, runs of Latin letters on their own ("API" + "를")."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(r"[a-z]+"), "isolated"),
        ]
    )


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Count the pre-tokenised words of some texts."""
    normalise, split = normalizer(), pre_tokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in split.pre_tokenize_str(normalise.normalize_str(text)))
    return counts


def train_tokenizer(texts: Iterable[str], vocabulary_size: int = 8000, min_character_count: int = 4) -> Tokenizer:
    """Train a Unigram tokenizer with byte fallback.

    Args:
        texts: The passages to learn from.
        vocabulary_size: All entries: special tokens, 256 byte pieces, characters, longer pieces.
        min_character_count: A character in fewer different words than this is left to the byte pieces.

    Returns:
        A tokenizer with normaliser, splitter and ``[CLS] ... [SEP]`` template.
    """
    words = count_words(texts)
    spread = Counter(character for word in words for character in set(word))
    # Digits and punctuation stand alone, so that the number of different words says nothing about them.
    spread.update({word: count for word, count in words.items() if len(word) == 1})
    kept = {
        word: count
        for word, count in words.items()
        if len(word) <= 20 and all(spread[character] >= min_character_count for character in word)
    }
    # Counting a word by the logarithm of its frequency makes productive stems and endings win over frequent
    # inflected words: "데이터를" earns no piece of its own for being written a thousand times.
    sample = [word for word, count in kept.items() for _ in range(1 + int(math.log2(count)))]
    learner = Tokenizer(models.Unigram())
    learner.train_from_iterator(
        sample,
        trainers.UnigramTrainer(
            vocab_size=int(vocabulary_size * 1.5),
            special_tokens=SPECIAL_TOKENS,
            unk_token=SPECIAL_TOKENS[1],
            max_piece_length=8,
            shrinking_factor=0.8,
            show_progress=False,
        ),
    )
    learned = _scores(learner)
    pieces = _select(_prune_composed(learned), vocabulary_size - len(SPECIAL_TOKENS) - len(BYTE_PIECES))
    worst = min(score for _, score in pieces)
    vocabulary = [(token, 0.0) for token in SPECIAL_TOKENS] + [(piece, worst - 5.0) for piece in BYTE_PIECES] + pieces
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=1, byte_fallback=True))
    tokenizer.normalizer = normalizer()
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", SPECIAL_TOKENS.index("[CLS]")), ("[SEP]", SPECIAL_TOKENS.index("[SEP]"))],
    )
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def wrap_tokenizer(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer the way transformers saves and loads it."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=SPECIAL_TOKENS[0],
        unk_token=SPECIAL_TOKENS[1],
        cls_token=SPECIAL_TOKENS[2],
        sep_token=SPECIAL_TOKENS[3],
        mask_token=SPECIAL_TOKENS[4],
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _scores(learner: Tokenizer) -> dict[str, float]:
    entries = json.loads(learner.to_str())["model"]["vocab"]
    # The trainer scores the characters that it keeps without having used them in the order of a hash table, which
    # differs from run to run: they all get the same score here.
    floor = round(min(score for piece, score in entries if len(piece) > 1 and piece not in SPECIAL_TOKENS), 6)
    return {
        piece: round(score, 6) if score >= floor else floor - 1.0
        for piece, score in entries
        if piece not in SPECIAL_TOKENS
    }


def _prune_composed(scores: dict[str, float]) -> dict[str, float]:
    """Drop the pieces that are a stem with its ending, or a compound of two pieces, when the parts are pieces too."""
    endings = {ending for ending in _ENDINGS if ending in scores}

    def is_composed(piece: str) -> bool:
        if not re.fullmatch("[가-힣]{2,}", piece) or piece in endings:
            return False
        for cut in range(1, len(piece)):
            first, second = piece[:cut], piece[cut:]
            if first not in scores or second not in scores:
                continue
            if min(len(first), len(second)) > 1 and len(piece) > 3:
                return True
            if second in endings and (cut > 1 or second in _SAFE_AFTER_ONE_SYLLABLE):
                return True
        return False

    return {piece: score for piece, score in scores.items() if not is_composed(piece)}


def _select(scores: dict[str, float], size: int) -> list[tuple[str, float]]:
    single = [item for item in scores.items() if len(item[0]) == 1]
    longer = sorted((item for item in scores.items() if len(item[0]) > 1), key=lambda item: (-item[1], item[0]))
    return sorted(single + longer[: size - len(single)], key=lambda item: (-item[1], item[0]))
