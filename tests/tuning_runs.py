"""Runs of the real training program, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from studio.reader.finetuning.options import Options

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120.0


def environment() -> dict[str, str]:
    """Of the program: offline, one thread, and the project on its path."""
    return os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def command(run: Path, processes: int = 1) -> list[str]:
    """The program's command line."""
    if processes == 1:
        return [sys.executable, "-m", "studio.reader.finetuning", str(run)]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_machines", "1", "--num_processes", str(processes), "--main_process_port", "0"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    return [*launch, "-m", "studio.reader.finetuning", str(run)]


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
