"""A captioner of random weights with a vocabulary of a few words."""

from pathlib import Path

WORDS = ("a", "photo", "of", "cat", "dog", "red", "blue", "green", "car", "house")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")


def tiny_blip(folder: Path) -> None:
    """A BLIP of random weights, as a folder that transformers reads."""
    from studio.models import torchvision_guard

    torchvision_guard.install()
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    vocabulary = (*SPECIAL, *WORDS)
    tokenizer = BertTokenizer(
        vocab={word: number for number, word in enumerate(vocabulary)},
        additional_special_tokens=["[DEC]"],
    )
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "projection_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = BlipConfig(
        text_config=small
        | {
            "vocab_size": len(vocabulary),
            "encoder_hidden_size": 16,
            "max_position_embeddings": 64,
            "bos_token_id": 5,
            "pad_token_id": 0,
            "eos_token_id": 3,
            "sep_token_id": 3,
        },
        vision_config=small | {"image_size": 32, "patch_size": 16},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    torch.manual_seed(0)
    network = BlipForConditionalGeneration(config)
    for name, part in network.named_parameters():
        if "crossattention" in name or "vision" in name:
            part.data.mul_(50)  # or every picture would look the same to it
    network.save_pretrained(folder)
    processor = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(processor, tokenizer).save_pretrained(folder)
