"""A byte-pair tokenizer in CLIP's layout, learned from the captions of all training pictures."""

import json

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from training.embedded.captions import Shown, caption
from training.embedded.sets import STYLES
from training.embedded.things import things
from training.embedded.variants import COLOURS, GROUNDS
from training.embedded.workshop import workshop

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def texts(count: int, seed: int = 0) -> list[str]:
    """Captions of random combinations, and every word that the list knows."""
    rng = np.random.default_rng(seed)
    made = [word for thing in things() for word in (thing.name, *thing.words)]
    for _ in range(count):
        shown = [
            Shown(
                thing=things()[rng.integers(len(things()))].name,
                style=str(rng.choice(STYLES)),
                colour=str(rng.choice(["", *COLOURS])),
                ground=str(rng.choice(["", *GROUNDS])),
            )
            for _ in range(2)
        ]
        made.append(caption(shown[0], rng, shown[1] if rng.random() < 0.2 else None))
    return made


def learn(size: int, count: int = 20_000) -> None:
    """Write `tokenizer/` of the workshop with at most `size` tokens."""
    raw = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    raw.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern=Regex(WORD), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size - 2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    raw.train_from_iterator(texts(count), trainer)
    model = json.loads(raw.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for letter in pre_tokenizers.ByteLevel.alphabet():  # a letter at the end of an unseen word
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    for special in (BEGIN, END):
        vocabulary[special] = len(vocabulary)
    merges = [tuple(pair) for pair in model["merges"]]
    folder = workshop() / "tokenizer"
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{folder}: {len(vocabulary)} tokens")
