"""A tiny encoder and a small data set of our own."""

import json
from pathlib import Path

import pytest

from studio.reader.finetuning.options import Options

PLACES = ("harbour", "mill", "garden", "library", "bridge", "market", "school", "tower")
PEOPLE = ("Anna", "Bela", "Clara", "David", "Emil", "Freya", "Gustav", "Hanna")


def passage(number: int) -> str:
    place, person = PLACES[number % 8], PEOPLE[number * 3 % 8]
    filler = "It rains often in this town and nobody minds the rain at all. " * (number % 4)
    return f"{filler}The old {place} was built by {person} in {1800 + number}. It is still there."


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQuAD 2.0 file: 24 paragraphs, each with a question it answers and one it does not."""
    paragraphs = []
    for number in range(24):
        context = passage(number)
        place, person = PLACES[number % 8], PEOPLE[number * 3 % 8]
        answer = {"text": person, "answer_start": context.index(person)}
        paragraphs.append(
            {
                "context": context,
                "qas": [
                    {
                        "id": f"a{number}",
                        "question": f"Who built the {place}?",
                        "answers": [answer],
                        "is_impossible": False,
                    },
                    {
                        "id": f"b{number}",
                        "question": "Who sold the railway?",
                        "answers": [],
                        "is_impossible": True,
                    },
                ],
            }
        )
    told = {"version": "v2.0", "data": [{"title": "Town", "paragraphs": paragraphs}]}
    path = tmp_path_factory.mktemp("squad") / "town.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained BERT of two layers, with dropout, and its fast tokenizer."""
    from studio.models import torchvision_guard  # noqa: F401, I001 - before transformers
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = [passage(number) for number in range(24)] + ["Who built the harbour? sold railway"]
    words.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=300, special_tokens=marks)
    )
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    folder = tmp_path_factory.mktemp("encoder")
    names = {f"{mark[1:-1].lower()}_token": mark for mark in marks}
    PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=128, **names).save_pretrained(
        folder
    )
    config = BertConfig(
        vocab_size=words.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    torch.manual_seed(1)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def options(encoder: Path, data: Path) -> Options:
    """A short run on one thread, with scores, two batches a step and windows that overlap."""
    return Options(
        base=str(encoder),
        train=data,
        dev=data,
        epochs=8,
        learning_rate=3e-3,
        layer_decay=0.8,
        batch_size=4,
        accumulate=2,
        max_length=64,
        overlap=16,
        held_out=0.2,
        report_every=1,
        threads=1,
    )
