"""The stages of the embedded model, one command each; README.md says their order."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def _threads() -> None:
    """Let torch use the cores; denormal numbers would slow early training down."""
    import torch

    torch.set_num_threads(int(os.environ.get("EMBEDDED_THREADS") or os.cpu_count() or 1))
    torch.set_flush_denormal(True)


@app.command()
def collect() -> None:
    """Fetch the drawings from npm, check their licences, render them."""
    from training.embedded.collect import collect

    collect()


@app.command()
def vae(
    steps: int = 1600,
    rate: float = 3e-4,
    scratch: Annotated[bool, typer.Option(help="Start from random weights.")] = False,
    again: Annotated[bool, typer.Option(help="Train it, though a trained one is here.")] = False,
) -> None:
    """Train the autoencoder, whiten its latents, measure it on held-out drawings."""
    import shutil

    from training.embedded.recipes import SHIPPED
    from training.embedded.vae import TRAINED, VaeRun, finish
    from training.embedded.workshop import workshop

    if TRAINED.is_dir() and not (again or scratch):
        shutil.copytree(TRAINED, workshop() / "vae", dirs_exist_ok=True)
        print(f"Taken from {TRAINED}; train it with --again.")
        return

    _threads()
    finish(VaeRun(steps=steps, rate=rate, start=None if scratch else SHIPPED / "vae"))


@app.command()
def latents(seed: int = 0) -> None:
    """Draw the training pictures and encode them."""
    from training.embedded.latents import encode

    _threads()
    encode(seed)


@app.command()
def references() -> None:
    """Write the sheets of drawings that the judge of the tests compares with."""
    from training.embedded.references import write

    write()


@app.command()
def prompts() -> None:
    """Fix the prompts that runs are judged by."""
    from training.embedded.prompts import write

    write()


@app.command()
def tokenizer(size: int = 4096) -> None:
    """Learn a tokenizer from captions; only runs from random weights need one."""
    from training.embedded.tokenizer import learn

    learn(size)


@app.command()
def words(recipe: str = "base", steps: int = 500) -> None:
    """Teach the text encoder what its words look like, without the UNet."""
    from training.embedded.export import tokenizer_folder
    from training.embedded.painter import Words
    from training.embedded.recipes import RECIPES
    from training.embedded.words import teach

    _threads()
    teach(RECIPES[recipe], Words(tokenizer_folder(RECIPES[recipe])), steps)


@app.command()
def train(
    name: str,
    recipe: str = "base",
    minutes: float = 20,
    cool: Annotated[int, typer.Option(help="Steps with a falling rate, after which it ends.")] = 0,
    after: Annotated[str, typer.Option(help="Start from this run's state.")] = "",
) -> None:
    """Train the denoiser under a name until it has had so many minutes; it goes on if it exists."""
    from training.embedded.denoiser import Run
    from training.embedded.denoiser import train as go
    from training.embedded.export import tokenizer_folder
    from training.embedded.painter import Words
    from training.embedded.recipes import RECIPES
    from training.embedded.workshop import alone, workshop

    _threads()
    words = Words(tokenizer_folder(RECIPES[recipe]))
    with alone(name):
        begun = (workshop() / "runs" / name / "state.safetensors").exists()
        run = Run.open(name if begun or not after else after, RECIPES[recipe], words)
        if after and not begun:
            run.branch(name)
        go(run, words, minutes, cool)


@app.command()
def blend(one: str, other: str, name: str, recipe: str = "end") -> None:
    """Begin a run from the mean of two runs' weights, of which one came from the other."""
    from training.embedded.denoiser import Run
    from training.embedded.denoiser import blend as half_way
    from training.embedded.export import tokenizer_folder
    from training.embedded.painter import Words
    from training.embedded.recipes import RECIPES
    from training.embedded.workshop import alone

    words = Words(tokenizer_folder(RECIPES[recipe]))
    with alone(name):
        half_way(*(Run.open(run, RECIPES[recipe], words) for run in (one, other)), name)


@app.command()
def export(name: str, folder: Path, recipe: str = "base") -> None:
    """Write a run as a pipeline folder: its averaged weights while its rate is constant."""
    from training.embedded.export import export as write
    from training.embedded.recipes import RECIPES

    write(name, RECIPES[recipe], folder)


@app.command()
def evaluate(
    folder: Path,
    wishes: Annotated[str, typer.Option(help="gate, final, things or styles.")] = "gate",
    seeds: Annotated[list[int] | None, typer.Option()] = None,
    cfg: Annotated[float | None, typer.Option(help="What suits the model if left out.")] = None,
    steps: int = 20,
) -> None:
    """Draw fixed prompts with a pipeline folder and let the judge count."""
    from training.embedded.evaluate import best_cfg
    from training.embedded.evaluate import evaluate as score

    _threads()
    score(
        folder, wishes, tuple(seeds or (1, 2, 3)), best_cfg(folder) if cfg is None else cfg, steps
    )


@app.command()
def card(
    folder: Path,
    run: Annotated[list[str], typer.Option(help="The runs that led to it, in their order.")],
) -> None:
    """Write the card, the grid of pictures and the curve into a model's folder."""
    from training.embedded.card import write

    _threads()
    write(folder, run)


if __name__ == "__main__":
    app()
