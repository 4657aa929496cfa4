"""Runs of the real training program, in processes of their own."""

import json
import os
import subprocess
from pathlib import Path

from studio.reader.finetuning.child import command
from studio.reader.finetuning.options import Options

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120.0


def environment() -> dict[str, str]:
    """Of the program: offline, one thread, and the project on its path."""
    return os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def lines(output: str) -> list[dict]:
    """What the program told."""
    return [json.loads(line) for line in output.splitlines()]


def done(run: Path, options: Options | None = None) -> list[dict]:
    """Do a run to its end; returns what it told."""
    if options is not None:
        options.write(run)
    ended = subprocess.run(
        command(run), env=environment(), capture_output=True, text=True, timeout=SECONDS
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return lines(ended.stdout)


def weights(folder: Path) -> dict:
    """The tensors of a model's folder."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def newest(run: Path) -> Path:
    """The newest checkpoint of a run."""
    return sorted((run / "checkpoints").iterdir())[-1]
