"""How runs are trained; each recipe is the options of the studio's own fine-tuning program."""

from pathlib import Path

from studio.reader.finetuning.options import Options
from training.reader.encoder import encoder
from training.reader.workshop import run_folder, workshop

RECIPES: dict[str, dict[str, object]] = {
    # What two hours of one core are enough for: every question once, short passages.
    "short": {
        "epochs": 1.0, "learning_rate": 1.5e-4, "layer_decay": 0.9, "head_rate": 5.0,
        "warmup": 0.08, "dropout": 0.0, "batch_size": 16, "evaluate_every": 400,
        "dev_questions": 600,
    },
    # After "short": all that is of use, twice.
    "long": {
        "epochs": 2.0, "learning_rate": 1e-4, "layer_decay": 0.9, "head_rate": 1.0,
        "warmup": 0.03, "dropout": 0.0, "batch_size": 16, "evaluate_every": 1000,
        "dev_questions": 800,
    },
    # From the encoder itself: the set has each question in other company in each of its passes.
    "full": {
        "epochs": 1.0, "learning_rate": 1.5e-4, "layer_decay": 0.9, "head_rate": 5.0,
        "warmup": 0.05, "dropout": 0.05, "attention_dropout": 0.0, "batch_size": 16,
        "evaluate_every": 2000, "dev_questions": 800,
    },
}  # fmt: skip


def options(recipe: str, data: str, after: str = "") -> Options:
    """The options of a run on a set of `data`; after: the run whose best model it starts from."""
    base = run_folder(after) / "best" if after else encoder()
    return Options(
        base=str(base),
        train=workshop() / f"{data}.json",
        dev=workshop() / "held-out.json",
        cache=workshop() / "windows",
        threads=1,
        held_out=0.0,  # they are apart from the first, in held-out.json
        **RECIPES[recipe],  # type: ignore[arg-type]
    )


def prepare(name: str, recipe: str, data: str, after: str = "") -> Path:
    """The folder of a run, with options where it has none yet."""
    folder = run_folder(name)
    if not (folder / "options.json").is_file():
        options(recipe, data, after).write(folder)
    return folder
