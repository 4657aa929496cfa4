"""The stages of the embedded reader, one command each; README.md says their order."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def data(
    open_pack: Annotated[Path, typer.Option("--open", help="train-open.json.gz")],
    name: Annotated[str, typer.Option(help="One of the sets in data.py.")] = "short",
    seed: int = 0,
) -> None:
    """Make unanswerable questions; write a training set and the held-out one."""
    from training.reader.data import make

    make(open_pack, name, seed)


@app.command()
def encoder() -> None:
    """Fetch the encoder that training starts from and check it."""
    from training.reader.encoder import encoder as fetch

    print(fetch())


@app.command()
def train(
    name: str,
    recipe: Annotated[str, typer.Option(help="One of recipes.py.")] = "short",
    data: Annotated[str, typer.Option(help="The set to train on.")] = "short",
    after: Annotated[str, typer.Option(help="Start from this run's best model.")] = "",
) -> None:
    """Train a reader under a name; a run that was stopped or killed goes on."""
    from training.reader.recipes import prepare

    folder = prepare(name, recipe, data, after)
    os.execv(sys.executable, [sys.executable, "-m", "studio.reader.finetuning", str(folder)])


@app.command()
def evaluate(
    name: str,
    dev: Annotated[Path | None, typer.Option(help="dev-v2.0.json.gz, only to be reported.")] = None,
    questions: Annotated[int, typer.Option(help="Of it, evenly spread; 0 for all.")] = 2000,
) -> None:
    """Score a run's best model, with the threshold that the held-out set gives."""
    import json

    from training.reader.evaluate import SCORES
    from training.reader.evaluate import evaluate as score
    from training.reader.workshop import run_folder

    told = json.dumps(score(run_folder(name) / "best", dev, questions), indent=2)
    (run_folder(name) / SCORES).write_text(told + "\n")
    print(told)


@app.command()
def export(
    name: str,
    folder: Path,
    dev: Annotated[Path, typer.Option(help="dev-v2.0.json.gz, whose scores the card gives.")],
) -> None:
    """Write a run's best model as a folder to ship: float16, calibrated, scored, with a card."""
    from training.reader.export import export as write

    write(name, folder, dev)


if __name__ == "__main__":
    app()
