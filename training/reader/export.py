"""A run's best model as the folder that ships: float16, calibrated, with a card of its scores."""

import json
import shutil
from pathlib import Path
from string import Template
from typing import Any

from studio.reader.finetuning.options import Options, read_options
from training.reader.encoder import encoder
from training.reader.evaluate import SCORES, evaluate
from training.reader.workshop import run_folder

MOST_BYTES = 60_000_000
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_CARD = Path(__file__).parent / "card.md"


def export(name: str, folder: Path, dev: Path) -> None:
    """Write the folder; what the card says is measured on the float16 weights that it holds."""
    import torch
    from safetensors.torch import load_file, save_file

    best = run_folder(name) / "best"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = load_file(best / "model.safetensors")
    half = {key: each.to(torch.float16).contiguous() for key, each in tensors.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # which safetensors makes for its owner alone
    size = (folder / "model.safetensors").stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"The weights have {size:,} bytes; at most {MOST_BYTES:,} ship.")
    config = json.loads((best / "config.json").read_text())
    config |= {"dtype": "float16", "_name_or_path": ""}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for file in _TOKENIZER:
        if (best / file).is_file():
            shutil.copyfile(best / file, folder / file)
    for file in ("LICENSE", "NOTICE"):
        shutil.copyfile(encoder() / file, folder / file)
    told = evaluate(folder, dev, questions=0)
    (folder / SCORES).write_text(json.dumps(told, indent=2) + "\n")
    (folder / "README.md").write_text(card(folder.name, told, read_options(run_folder(name))))


def card(name: str, told: dict[str, Any], options: Options) -> str:
    """The model card, with the scores in words and in the hub's `model-index`."""
    dev = told["dev"]
    figures = {key: f"{value:.2f}" for key, value in dev.items() if isinstance(value, float)}
    held = {f"held_{key}": f"{value:.2f}" for key, value in told["held_out"].items()}
    recipe = {
        key: str(value)
        for key, value in options.model_dump().items()
        if isinstance(value, int | float) or value is None
    }
    return Template(_CARD.read_text()).substitute(
        recipe | figures | held | {"name": name, "data": options.train.stem}
    )
