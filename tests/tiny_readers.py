"""Readers of every architecture in miniature, with random weights and tokenizers of their sort."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models

WORDS = """
the a an of in on at to and or is was were are be who what when where which why how many did
do not river city king queen mountain tower bridge book year people house north south east
west old new first last built wrote lived died born called named 1 2 3 4 5 6 7 8 9 0
"""
TEXT = (
    "The old bridge was built in 1420 by the king of the north. In 1873 the river took half of it, "
    "and the people of the city built a tower where it had stood. Who lived in the tower? "
)
ARCHITECTURES = (
    "bert",
    "distilbert",
    "electra",
    "albert",
    "roberta",
    "mpnet",
    "deberta-v2",
    "modernbert",
    "xlnet",
)
_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}


def make_reader(
    folder: Path, architecture: str = "bert", *, head: bool = True, seed: int = 0, scale: float = 8
) -> Path:
    """Write a reader with a spread-out head, so that scores differ; head: False for none."""
    from studio.models import torchvision_guard  # noqa: F401, I001 - before transformers
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForQuestionAnswering

    tokenizer = _tokenizer(architecture)
    sizes = dict(_SIZES)
    if architecture == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    if architecture == "roberta":
        sizes["max_position_embeddings"] = 514
    if architecture == "albert":
        sizes["embedding_size"] = 16
    if architecture == "xlnet":
        sizes = {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}
    config = AutoConfig.for_model(architecture, vocab_size=len(tokenizer), **sizes)
    for name in ("pad", "cls", "sep", "bos", "eos"):
        setattr(config, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id", None))
    torch.manual_seed(seed)
    network = (AutoModelForQuestionAnswering if head else AutoModel).from_config(config)
    if head:
        with torch.no_grad():
            layers = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
            layers[-1].weight.normal_(0, scale / layers[-1].in_features ** 0.5)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _in_one_order(trained: Tokenizer) -> models.Unigram:
    """A trained Unigram model with its pieces numbered by likelihood, then by name.

    The trainer ranks the letters that it had to keep anew in each process, a ten-thousandth
    apart, and with other numbers a network of random weights reads another text.
    """
    model = json.loads(trained.to_str())["model"]
    vocabulary = [(piece, round(likelihood, 2)) for piece, likelihood in model["vocab"]]
    special, pieces = vocabulary[:4], vocabulary[4:]
    ranked = sorted(pieces, key=lambda each: (-each[1], each[0]))
    return models.Unigram(special + ranked, unk_id=model["unk_id"])


def _tokenizer(architecture: str):  # type: ignore[no-untyped-def]
    from tokenizers import decoders, normalizers, pre_tokenizers, trainers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.,?!'\"-:;()"))
    if architecture in ("bert", "distilbert", "electra"):
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
        pieces += [f"##{letter}" for letter in letters] + [w for w in WORDS.split() if len(w) > 1]
        made = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer()
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
        template = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    elif architecture in ("roberta", "mpnet", "modernbert"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
            initial_alphabet=alphabet,
            show_progress=False,
        )
        made.train_from_iterator([TEXT] * 3, trainer)
        names = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
        names |= {"bos_token": "<s>", "eos_token": "</s>"}
        pair = "<s> $A </s> $B </s>" if architecture == "modernbert" else "<s> $A </s> </s> $B </s>"
        template = ("<s> $A </s>", pair)
    else:
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120,
            special_tokens=["<pad>", "[CLS]", "[SEP]", "<unk>"],
            unk_token="<unk>",
            initial_alphabet=letters,
            show_progress=False,
        )
        made.train_from_iterator([TEXT] * 3, trainer)
        made.model = _in_one_order(made)
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "<pad>"}
        template = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
        if architecture == "xlnet":
            template = ("$A [SEP] [CLS]:2", "$A [SEP] $B:1 [SEP]:1 [CLS]:2")
    marks = {names["cls_token"], names["sep_token"]}
    made.post_processor = TemplateProcessing(
        single=template[0],
        pair=template[1],
        special_tokens=[(mark, made.token_to_id(mark)) for mark in sorted(marks)],
    )
    typed = architecture in ("bert", "electra", "albert", "deberta-v2", "xlnet")
    inputs = ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=512, model_input_names=inputs, **names
    )
