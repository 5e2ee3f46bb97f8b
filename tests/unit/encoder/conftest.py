"""A small random ModernBERT over 50,000 terms, with a real Korean tokenizer, in both folder layouts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

VOCABULARY_SIZE = 50_000
MAX_LENGTH = 64

SENTENCES = [
    "텔레픽스는 위성 영상을 분석하여 해양과 농업 분야에 서비스를 제공합니다.",
    "위성에서 촬영한 영상으로 바다의 온도와 조류를 살핀다.",
    "정찰 위성은 국방 분야에서 쓰이며 광학 탑재체를 싣는다.",
    "우주에서 얻은 자료는 농작물의 작황을 예측하는 데 쓰인다.",
    "서울의 도서관에서는 저녁마다 시를 읽는 모임이 열린다.",
    "할머니가 담근 김치는 겨울이 지나도 맛이 변하지 않았다.",
    "의사는 감기에 걸린 아이에게 따뜻한 물을 마시라고 하였다.",
    "법원은 임대차 계약의 해지를 인정하지 아니하였다.",
    "기차는 새벽 다섯 시에 부산역을 떠나 서울로 향한다.",
    "은행의 금리가 오르면 집을 사려는 사람이 줄어든다.",
    "AI 분석 기술은 Global standard 수준으로 평가받고 있다.",
]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub cannot be asked, and the local cache is empty."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "hub-cache"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small lose more to the threads of torch than they win."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    return SENTENCES


def korean_tokenizer(n_terms: int = VOCABULARY_SIZE) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    trained.train_from_iterator(SENTENCES, trainer)
    # The trainer numbers equal candidates differently from run to run.
    pieces = special + sorted(set(trained.get_vocab()) - set(special))
    pieces += [f"[unused{n}]" for n in range(n_terms - len(pieces))]
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **names,
        mask_token="[MASK]",
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],  # DistilBERT takes no others
    )


def random_network(seed: int = 0) -> Any:
    import torch
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    torch.manual_seed(seed)
    config = ModernBertConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        cls_token_id=2,
        sep_token_id=3,
        reference_compile=False,
    )
    network = ModernBertForMaskedLM(config).eval()
    with torch.no_grad():  # as sparse as a trained model: a few hundred terms a text, with weights worth comparing
        network.get_output_embeddings().weight.normal_(0, 0.35)
        network.get_output_embeddings().bias.fill_(-6.0)
    return network


def splade_modules(folder: Path) -> list[Any]:
    """The parts of a SPLADE model, whatever the installed sentence-transformers calls them."""
    try:
        from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer
    except ImportError:  # before version 5.4
        from sentence_transformers.sparse_encoder.models import MLMTransformer, SpladePooling

        return [MLMTransformer(str(folder), max_seq_length=MAX_LENGTH), SpladePooling("max")]
    return [Transformer(str(folder), transformer_task="fill-mask", max_seq_length=MAX_LENGTH), SpladePooling("max")]


@pytest.fixture(scope="session")
def make_splade_modules() -> Callable[[Path], list[Any]]:
    return splade_modules


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., Any]:
    return korean_tokenizer


@pytest.fixture(scope="session")
def today_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved by the installed sentence-transformers itself."""
    from sentence_transformers import SparseEncoder

    base = tmp_path_factory.mktemp("base") / "masked-language-model"
    random_network().save_pretrained(base)
    korean_tokenizer().save_pretrained(base)
    model = SparseEncoder(modules=splade_modules(base), device="cpu")
    folder = tmp_path_factory.mktemp("today") / "random-splade"
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def version_5_folder(today_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as sentence-transformers 5 wrote it, which is how PIXIE was published."""
    folder = tmp_path_factory.mktemp("version-5") / "random-splade"
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(today_folder / name, folder / name)
    package = "sentence_transformers.sparse_encoder.models"
    pooling = {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": VOCABULARY_SIZE}
    files = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{package}.MLMTransformer"},
            {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": f"{package}.SpladePooling"},
        ],
        "sentence_bert_config.json": {"max_seq_length": MAX_LENGTH, "do_lower_case": False},
        "1_SpladePooling/config.json": pooling,
        "config_sentence_transformers.json": {
            "model_type": "SparseEncoder",
            "__version__": {"sentence_transformers": "5.1.0", "transformers": "4.55.4", "pytorch": "2.7.1"},
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "dot",
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def ordinary_folder(version_5_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with a harmless setting, because of which sentence-transformers loads it."""
    folder = shutil.copytree(version_5_folder, tmp_path_factory.mktemp("ordinary") / "random-splade")
    path = folder / "sentence_bert_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) | {"model_args": {"attn_implementation": "sdpa"}}
    path.write_text(json.dumps(settings), encoding="utf-8")
    return Path(folder)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Copy a model folder, so that a test can change it."""

    def copy(folder: Path, name: str = "random-splade") -> Path:
        return Path(shutil.copytree(folder, tmp_path / name))

    return copy


@pytest.fixture(scope="session")
def encoder(today_folder: Path) -> Any:
    from pixie_retrievers.encoder.pixie import PixieEncoder

    return PixieEncoder(today_folder, device="cpu")


@pytest.fixture(scope="session")
def reference(today_folder: Path) -> Any:
    """sentence-transformers without anything of ours."""
    from sentence_transformers import SparseEncoder

    return SparseEncoder(str(today_folder), device="cpu")
