"""A LoRA run against diffusers' example script: the same job, model, size, batch and precision.

The script is not part of the studio: DIFFUSERS_SCRIPT names a copy of examples/dreambooth/
train_dreambooth_lora.py. The model has the size of Stable Diffusion 1.5 and random weights.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.figure import Figure
from studio.models.entry import ASSETS
from studio.requests import validated
from studio.training.run_folder import RunFolder
from studio.training.task import Task
from studio.training_requests import TrainRequest

_ROUNDS = int(os.environ.get("TRAINING_ROUNDS", "3"))
_STEPS, _PICTURES, _SIDE, _RANK = 9, 5, 256, 4
_PROMPT = "a photo of sks dog"
# As shipped, unless told: the studio chooses by the processor, the script takes float32.
_PRECISION = os.environ.get("TRAINING_PRECISION", "auto")
_MIXED = os.environ.get("SCRIPT_PRECISION", "")
_LAST_WORDS = 1500
_ROOT = Path(__file__).resolve().parents[1]

Steps = Callable[[Path], Iterator[int]]
"""The steps that are done by now, by what a process has said, a file."""


class Watched:
    """A process with its most memory and the moments at which its steps were done."""

    def __init__(self, command: list[str], steps: Steps):
        environment = os.environ | {"ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(_ROOT)}
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder) / "said.txt"
            with said.open("wb") as stream:
                self._process = subprocess.Popen(
                    command, env=environment, stdout=stream, stderr=stream
                )
            self.memory = 0
            threading.Thread(target=self._look, daemon=True).start()
            moments: dict[int, float] = {}
            while self._process.poll() is None:
                for step in steps(said):
                    moments.setdefault(step, time.perf_counter())
                time.sleep(0.02)
            if self._process.returncode != 0:
                words = said.read_text(errors="replace")[-_LAST_WORDS:]
                raise RuntimeError(f"{command[1]} ended with {self._process.returncode}: {words}")
        # The first step warms up.
        self.seconds = [moments[n + 1] - moments[n] for n in range(1, _STEPS)]

    def _look(self) -> None:
        process = psutil.Process(self._process.pid)
        while True:
            try:
                self.memory = max(self.memory, process.memory_info().rss)
            except psutil.Error:
                return
            time.sleep(0.05)


def measure() -> list[Figure]:
    """Pictures a second and the most memory of both, in turn."""
    script = Path(os.environ.get("DIFFUSERS_SCRIPT", ""))
    if not script.is_file():
        print("  DIFFUSERS_SCRIPT names no script: training is not measured")
        return []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        model = _model(data / "models" / "sd15-size")
        pictures = _pictures(data / "pictures" / "dogs")
        # The script takes every file for a picture, also what the studio remembers beside them.
        plain = _pictures(data / "plain")
        ours, theirs = [], []
        for number in range(_ROUNDS):
            ours.append(_own(data, pictures, number))
            theirs.append(_script(script, model, plain, data / f"out-{number}"))
            times = [statistics.median(each.seconds) for each in (ours[-1], theirs[-1])]
            print(f"  {times[0]:.2f} s a step, the script {times[1]:.2f} s", flush=True)
    # Of all steps of all rounds: a neighbour on the machine makes single ones slow.
    fast, slow = (
        statistics.median(second for each in ways for second in each.seconds)
        for ways in (ours, theirs)
    )
    most, least = max(each.memory for each in ours), min(each.memory for each in theirs)
    what = f"LoRA of rank {_RANK}, SD 1.5 size, {_SIDE} px, batch 1"
    return [
        Figure(f"{what}: pictures a second", 1 / fast, "1/s"),
        Figure("  the same, diffusers' script", 1 / slow, "1/s"),
        Figure("  time of a step, ours / the script's", fast / slow, "x", 1 / 1.5),
        Figure("  most memory", most / 2**20, "MiB", least / 2**20),
        Figure("  the same, diffusers' script", least / 2**20, "MiB"),
    ]


def _own(data: Path, pictures: Path, number: int) -> Watched:
    request = validated(
        TrainRequest,
        {
            "name": f"own-{number}",
            "model": "sd15-size",
            "pictures": pictures.name,
            "prompt": _PROMPT,
            "rank": _RANK,
            "alpha": float(_RANK),
            "layers": "attention",
            "resolution": _SIDE,
            "steps": _STEPS,
            "learning_rate": 1e-4,
            "micro_batch": 1,
            "min_snr_gamma": 0.0,
            "held_out": 0.0,
            "sample_every": 0,
            "save_every": _STEPS,
            "precision": _PRECISION,
        },
    )
    folder = RunFolder(data / "runs" / request.name)
    Task(request=request, data=data, pictures=pictures).write(folder.path)

    def steps(_said: Path) -> Iterator[int]:
        return (int(point["step"]) for point in folder.curve()[0])

    return Watched([sys.executable, "-m", "studio.training", str(folder.path)], steps)


def _script(script: Path, model: Path, pictures: Path, out: Path) -> Watched:
    told = {
        "pretrained_model_name_or_path": model,
        "instance_data_dir": pictures,
        "instance_prompt": _PROMPT,
        "resolution": _SIDE,
        "train_batch_size": 1,
        "max_train_steps": _STEPS,
        "learning_rate": 1e-4,
        "rank": _RANK,
        **({"mixed_precision": _MIXED} if _MIXED else {}),
        "checkpointing_steps": 10**6,
        "output_dir": out,
        "seed": 0,
    }
    options = [part for name, value in told.items() for part in (f"--{name}", str(value))]

    def steps(said: Path) -> Iterator[int]:
        shown = re.finditer(rb"Steps:[^\r\n]*?(\d+)/%d" % _STEPS, said.read_bytes())
        return (step for step in (int(found[1]) for found in shown) if step)

    return Watched([sys.executable, str(script), *options], steps)


def _pictures(folder: Path) -> Path:
    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(_PICTURES):
        small = Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((512, 512), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def _model(folder: Path) -> Path:
    """A pipeline of the size of Stable Diffusion 1.5, with random weights."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    words = CLIPTokenizer.from_pretrained(ASSETS / "tokenizers" / "clip")
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=words,
        unet=diffusers.UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8
        ),
        scheduler=diffusers.DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder
