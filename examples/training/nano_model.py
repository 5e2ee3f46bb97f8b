"""The body of the bundled model, its cheap max-pooled head for training, and how it is saved."""

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from nano_tokenizer import BYTE_PIECES, SPECIAL_TOKENS, wrap_tokenizer
from tokenizers import Tokenizer
from torch import Tensor
from transformers import ModernBertConfig, ModernBertForMaskedLM


def build_model(
    vocabulary_size: int,
    idf: Tensor,
    vectors: Tensor,
    *,
    hidden_size: int = 256,
    layers: int = 4,
    intermediate_size: int = 512,
    heads: int = 4,
    max_positions: int = 8192,
) -> ModernBertForMaskedLM:
    """Build a ModernBERT that starts as a lexical matcher: each token predicts itself, rare tokens more strongly.

    Half of each embedding is random, which tells tokens apart; half is what ``vectors`` says, so that the nearest
    relatives of a token are just above the threshold from the first step, and training can keep or drop them.

    Args:
        vocabulary_size: Number of tokenizer entries.
        idf: float32, shape (vocabulary_size,), in 0..1; sets where the decoder's biases start.
        vectors: float32, shape (vocabulary_size, hidden_size), rows of length 1: relatedness of the tokens.
        hidden_size: Width of the body.
        layers: Number of layers; every second one attends globally.
        intermediate_size: Width of the gated feed-forward part.
        heads: Attention heads.
        max_positions: Longest input the configuration allows (positions are rotary).
    """
    config = ModernBertConfig(
        vocab_size=vocabulary_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=max_positions,
        layer_types=["sliding_attention" if i % 2 else "full_attention" for i in range(layers)],
        local_attention=64,
        pad_token_id=SPECIAL_TOKENS.index("[PAD]"),
        cls_token_id=SPECIAL_TOKENS.index("[CLS]"),
        sep_token_id=SPECIAL_TOKENS.index("[SEP]"),
        bos_token_id=SPECIAL_TOKENS.index("[CLS]"),
        eos_token_id=SPECIAL_TOKENS.index("[SEP]"),
        tie_word_embeddings=True,
    )
    model = ModernBertForMaskedLM(config)
    with torch.no_grad():
        noise = torch.randn(vocabulary_size, hidden_size) / math.sqrt(hidden_size)
        model.get_input_embeddings().get_parameter("weight").copy_(math.sqrt(0.5) * (noise + vectors))
        model.head.get_parameter("dense.weight").copy_(1.5 * torch.eye(hidden_size))
        # At the start a token scores about 10 for itself and noise of deviation 1 for any other, so that a bias
        # of -3 keeps most of the noise out and the idf share orders the tokens the way BM25 would.
        model.decoder.bias.copy_(-3.0 - 6.0 * (1.0 - idf))
        model.decoder.bias[: len(SPECIAL_TOKENS)] = -30.0
        # Byte pieces are too rare to be taught when not to light up.
        model.decoder.bias[len(SPECIAL_TOKENS) : len(SPECIAL_TOKENS) + len(BYTE_PIECES)] = -7.0
    return model


class MaxPooledLogits(torch.autograd.Function):
    """Maximum over a text's tokens of ``hidden @ embeddings.T + bias``, without keeping the logits.

    Zero where it is negative, except for the terms asked for.

    The ordinary graph stores tokens x vocabulary logits and back-propagates through all of them, though only the
    winning position of each (text, term) has a gradient. This one remembers the winners: its backward pass is a gather
    and an ``index_add`` over the terms that are not zero.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, embeddings: Tensor, bias: Tensor, lengths: Sequence[int], wanted: Tensor
    ) -> Tensor:
        """Pool texts that stand one after the other.

        Args:
            ctx: Autograd context.
            hidden: float32, shape (n_tokens, hidden_size).
            embeddings: float32, shape (vocabulary_size, hidden_size).
            bias: float32, shape (vocabulary_size,).
            lengths: Tokens of each text; their sum is n_tokens.
            wanted: bool, shape (n_texts, vocabulary_size): terms whose logit is given even if it is negative.

        Returns:
            float32, shape (n_texts, vocabulary_size).
        """
        # bfloat16 only decides which position wins; the winners' logits are computed again in full precision.
        projection = embeddings.to(torch.bfloat16).t().contiguous()
        rows, terms, places = [], [], []
        start = 0
        for row, length in enumerate(lengths):
            best, position = (hidden[start : start + length].to(torch.bfloat16) @ projection).max(dim=0)
            active = (((best.float() + bias) > 0) | wanted[row]).nonzero().squeeze(1)
            rows.append(torch.full_like(active, row))
            terms.append(active)
            places.append(position[active] + start)
            start += length
        row_ids, term_ids, place_ids = torch.cat(rows), torch.cat(terms), torch.cat(places)
        values = torch.einsum("nh,nh->n", hidden[place_ids], embeddings[term_ids]) + bias[term_ids]
        pooled = hidden.new_zeros(len(lengths), embeddings.shape[0])
        pooled[row_ids, term_ids] = values
        ctx.save_for_backward(hidden, embeddings, row_ids, term_ids, place_ids)
        return pooled

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Send each term's gradient to its winning position."""
        hidden, embeddings, row_ids, term_ids, place_ids = ctx.saved_tensors
        weights = grad[row_ids, term_ids].unsqueeze(1)
        grad_hidden = torch.zeros_like(hidden).index_add_(0, place_ids, weights * embeddings[term_ids])
        grad_embeddings = torch.zeros_like(embeddings).index_add_(0, term_ids, weights * hidden[place_ids])
        grad_bias = hidden.new_zeros(embeddings.shape[0]).index_add_(0, term_ids, weights.squeeze(1))
        return grad_hidden, grad_embeddings, grad_bias, None, None


def max_pooled_logits(
    model: ModernBertForMaskedLM, sequences: Sequence[Sequence[int]], wanted: Tensor | None = None, bucket: int = 16
) -> Tensor:
    """The largest logit of each term over a text's tokens, through the cheap head.

    Texts go through the body in buckets of similar length, so that little is spent on padding.

    Args:
        model: The model.
        sequences: Token ids of each text.
        wanted: bool, shape (n_texts, vocabulary_size): terms whose logit is given even if it is negative.
        bucket: Texts in a bucket.

    Returns:
        float32, shape (n_texts, vocabulary_size), zero for other terms with a negative logit.
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    hidden_parts: list[Tensor] = []
    for start in range(0, len(order), bucket):
        members = [sequences[index] for index in order[start : start + bucket]]
        width = max(map(len, members))
        ids = torch.tensor([[*member, *[0] * (width - len(member))] for member in members])
        mask = torch.tensor([[1] * len(member) + [0] * (width - len(member)) for member in members])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
            hidden = model.head(hidden)
        hidden_parts.append(hidden.float()[mask.bool()])
    if wanted is None:
        wanted = torch.zeros(len(sequences), model.config.vocab_size, dtype=torch.bool)
    pooled: Tensor = MaxPooledLogits.apply(  # type: ignore[no-untyped-call]
        torch.cat(hidden_parts),
        model.decoder.weight,
        model.decoder.bias,
        [len(sequences[index]) for index in order],
        wanted[torch.tensor(order)],
    )
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return pooled[back]


def encode_for_training(model: ModernBertForMaskedLM, sequences: Sequence[Sequence[int]], bucket: int = 16) -> Tensor:
    """Encode token sequences into SPLADE vectors, float32 (n_texts, vocabulary_size)."""
    return torch.log1p(max_pooled_logits(model, sequences, bucket=bucket).clamp_min(0.0))


def save_model(model: ModernBertForMaskedLM, tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Write a folder that ``sentence_transformers.SparseEncoder`` loads: float16 weights, float32 computation."""
    from safetensors.torch import load_file, save_file
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        body = Path(scratch) / "body"
        model.save_pretrained(body)
        wrap_tokenizer(tokenizer, max_length).save_pretrained(body)
        transformer = Transformer(str(body), transformer_task="fill-mask", max_seq_length=max_length)
        encoder = SparseEncoder(modules=[transformer, SpladePooling("max")], similarity_fn_name="dot", device="cpu")
        finished = Path(scratch) / "finished"
        encoder.save_pretrained(str(finished), create_model_card=False)
        weights = load_file(finished / "model.safetensors")
        save_file(
            {name: tensor.to(torch.float16).contiguous() for name, tensor in weights.items()},
            finished / "model.safetensors",
            metadata={"format": "pt"},
        )
        _write_portable_configuration(finished, len(tokenizer.get_vocab()), max_length)
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(finished.rglob("*")):
            if path.is_file():
                target = folder / path.relative_to(finished)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target)


def _write_portable_configuration(folder: Path, vocabulary_size: int, max_length: int) -> None:
    """Rewrite the small files in the form that sentence-transformers 5 and 6 and transformers 4 and 5 all read.

    Version 6 of sentence-transformers writes module types and settings that version 5 does not know, and reads the
    earlier ones; they are also the ones the published PIXIE models use.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # The loader reads the type to compute in from here; half precision is only how the file is stored.
    config["dtype"] = config["torch_dtype"] = "float32"
    # transformers 4 knows no list of layer types, only how often a layer attends globally.
    config["global_attn_every_n_layers"] = 2
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    for key in ("backend", "is_local", "local_files_only"):
        tokenizer.pop(key, None)
    tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    card = json.loads((folder / "config_sentence_transformers.json").read_text(encoding="utf-8"))
    # Version 5 warns about a model that names a later version than its own.
    card.pop("__version__", None)
    special = {key: value for key, value in tokenizer.items() if key.endswith("_token")}
    types = "sentence_transformers.sparse_encoder.models"
    files: dict[str, Any] = {
        "config.json": config,
        "tokenizer_config.json": tokenizer,
        "special_tokens_map.json": special,
        "config_sentence_transformers.json": card,
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{types}.MLMTransformer"},
            {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": f"{types}.SpladePooling"},
        ],
        "1_SpladePooling/config.json": {
            "pooling_strategy": "max",
            "activation_function": "relu",
            "word_embedding_dimension": vocabulary_size,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
