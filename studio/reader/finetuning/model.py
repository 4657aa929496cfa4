"""The model of a run: loaded from a folder or the hub; its weights in groups of one rate each."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError, first_words
from studio.reader.finetuning.options import Options

if TYPE_CHECKING:
    from torch import nn

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|albert_layer_groups)\.(\d+)\.")
_HIDDEN = (
    "hidden_dropout_prob",
    "dropout",
    "embedding_dropout",
    "mlp_dropout",
    "pooler_dropout",
    "resid_pdrop",
)
_ATTENTION = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
"""What dropouts are called in the configurations of the families of encoders."""


def load(
    base: str, seed: int, dropout: float | None = None, attention_dropout: float | None = None
) -> tuple[Any, Any]:
    """A model with a question-answering head and its fast tokenizer, on the CPU in float32.

    A head that the base lacks is drawn from the seed; the dropouts are the base's where they are
    None. Raises ModelError in one sentence.
    """
    from studio.models import torchvision_guard  # noqa: F401, I001 - before transformers
    import torch
    import transformers

    folder = Path(base)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelError(f"{base} holds no model: it has no config.json.")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        config = transformers.AutoConfig.from_pretrained(base, trust_remote_code=False)
        for share, names in ((dropout, _HIDDEN), (attention_dropout, _ATTENTION)):
            for name in names:
                if share is not None and hasattr(config, name):
                    setattr(config, name, share)
        torch.manual_seed(seed)
        model = transformers.AutoModelForQuestionAnswering.from_pretrained(
            base,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        first = first_words(error).rstrip(".")
        raise ModelError(
            f"{base!r} cannot be fine-tuned as a reader: {first}. Name a folder or a hub id of an "
            "encoder with safetensors weights."
        ) from None
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"{base!r} has no fast tokenizer (tokenizer.json), which a reader needs.")
    return model, tokenizer


def groups(model: "nn.Module", options: Options) -> list[dict[str, Any]]:
    """Groups of weights for the optimiser, each with its `rate`, a multiple of the run's.

    Rates fall from layer to layer towards the input (discriminative fine-tuning, Howard & Ruder
    2018, arXiv 1801.06146, section 3.1). Biases and norms do not decay.
    """
    prefix = getattr(model, "base_model_prefix", "")
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    found = [int(m[1]) for name, _ in named for m in [_LAYER.search(name)] if m]
    top = max(found, default=-1) + 2
    made: dict[tuple[float, float], dict[str, Any]] = {}
    for name, weight in named:
        rate = options.layer_decay ** (top - _depth(name, prefix, top))
        if prefix and not name.startswith(prefix + "."):
            rate *= options.head_rate
        decay = options.weight_decay if weight.dim() > 1 else 0.0
        group = {"params": [], "rate": rate, "weight_decay": decay}
        made.setdefault((rate, decay), group)["params"].append(weight)
    return list(made.values())


def _depth(name: str, prefix: str, top: int) -> int:
    """0 for embeddings, 1 and on for layers, the top for what stands behind them."""
    layer = _LAYER.search(name)
    if layer:
        return int(layer[1]) + 1
    return 0 if "embed" in name and name.startswith(prefix) else top
