"""What trainings teach the model that ships, and what they make it forget.

Five drawings of a thing that it has never seen (tests/data/zug), learnt as a LoRA, and as a whole
model by DreamBooth with and without prior preservation. The studio's own judge says of 50 pictures
whether they show the thing, and of the prompts of training/embedded/prompts/gate.json whether they
are recognised as before. LEARNING names the methods to measure, all by default.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.figure import Figure
from studio.requests import GenerationRequest, validated
from studio.services import Services, build_services
from studio.settings import Settings
from studio.training.run_folder import RunFolder
from studio.training.task import Task
from studio.training.watching.embedded_judge.judge import SAME, EmbeddedJudge
from studio.training_requests import TrainRequest

_ROOT = Path(__file__).resolve().parents[1]
_SUBJECT = _ROOT / "tests" / "data" / "zug"
_PROMPTS = _ROOT / "training" / "embedded" / "prompts" / "gate.json"
_COUNT, _RECOGNISED = 50, 0.5
_WORD, _CLASS = "zug", "a star"
_STEPS = 400
_METHODS: dict[str, dict[str, Any]] = {
    "lora": {"prompt": f"a {_WORD}", "learning_rate": 1e-3, "batch_size": 4},
    "prior": {
        "method": "dreambooth",
        "whole": True,
        "prompt": f"a {_WORD} star",
        "preservation": True,
        "class_prompt": _CLASS,
        "class_pictures": 60,
        "learning_rate": 5e-5,
        "batch_size": 2,
    },
    "no-prior": {
        "method": "dreambooth",
        "whole": True,
        "prompt": f"a {_WORD} star",
        "learning_rate": 5e-5,
        "batch_size": 2,
    },
}


def measure() -> list[Figure]:
    """Shares of pictures that show the subject, and of prompts that are recognised as before."""
    names = [name for name in os.environ.get("LEARNING", "").split(",") if name] or list(_METHODS)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        services = build_services(Settings(data_dir=data, device="cpu", dtype="float32"))
        try:
            shutil.copytree(_SUBJECT, data / "pictures" / _WORD)
            told = json.loads(_PROMPTS.read_text(encoding="utf-8"))
            prompts = [each["prompt"] for each in told if not each["other"]][:_COUNT]
            before = _recognised(services, "", prompts, "")
            classes = _recognised(services, "", [_CLASS] * _COUNT, "")
            for name in names:
                figures += _learnt(services, name, prompts, before, classes)
        finally:
            services.stop()
    return figures


def _learnt(
    services: Services, name: str, prompts: Sequence[str], before: float, classes: float
) -> list[Figure]:
    request = _trained(services, name)
    model, tag = ("", f" <lora:{name}:1>") if request.adds_lora else (name, "")
    pictures = _painted(services, model, [request.prompt] * _COUNT, tag)
    references = [Image.open(file).convert("RGB") for file in sorted(_SUBJECT.glob("*.png"))]
    scores = EmbeddedJudge().subject(pictures, references)
    shown = sum(score >= SAME for score in scores) / _COUNT
    after = _recognised(services, model, prompts, tag)
    figures = [
        Figure(f"{name}: pictures that show the subject", 100 * shown, "%", note="goal: 80"),
        Figure("  prompts recognised, before", 100 * before, "%"),
        Figure("  prompts recognised, after", 100 * after, "%"),
        Figure("  after / before", 100 * after / before, "%", note="goal: 95"),
    ]
    if not request.adds_lora:
        scores = EmbeddedJudge().subject(
            _painted(services, model, [_CLASS] * _COUNT, tag), references
        )
        drifted = sum(score >= SAME for score in scores) / _COUNT
        same = _recognised(services, model, [_CLASS] * _COUNT, tag)
        figures += [
            Figure("  pictures of the class that show the subject", 100 * drifted, "%"),
            Figure("  pictures of the class recognised, before", 100 * classes, "%"),
            Figure("  pictures of the class recognised, after", 100 * same, "%"),
        ]
    return figures


def _trained(services: Services, name: str) -> TrainRequest:
    """Train, as the studio does, in a process of its own."""
    fields = {
        "name": name,
        "pictures": _WORD,
        "trigger": _WORD,
        "steps": _STEPS,
        "sample_every": 0,
        **_METHODS[name],
    }
    job = services.queue.submit(validated(TrainRequest, fields), runner="benchmark")
    row = services.queue.get(job)
    request = services.queue.request(row)
    assert isinstance(request, TrainRequest)
    data = services.settings.data_dir
    classes = _classes(services, data / "class", request) if request.preservation else None
    folder = RunFolder(data / "runs" / name)
    Task(
        request=request,
        data=data,
        pictures=data / "pictures" / _WORD,
        class_pictures=classes,
    ).write(folder.path)
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "ACCELERATE_USE_CPU": "true"}
    subprocess.run(
        [sys.executable, "-m", "studio.training", str(folder.path)], env=environment, check=True
    )
    return request


def _classes(services: Services, folder: Path, request: TrainRequest) -> Path:
    folder.mkdir()
    count = request.class_pictures or 0
    for number, picture in enumerate(_painted(services, "", [_CLASS] * count, "")):
        picture.save(folder / f"{number:04}.png")
    return folder


def _recognised(services: Services, model: str, prompts: Sequence[str], tag: str) -> float:
    """Share of the prompts whose thing the judge sees."""
    told = EmbeddedJudge().prompt(_painted(services, model, prompts, tag), prompts)
    known = [each for each in told if each is not None]
    return sum(each >= _RECOGNISED for each in known) / len(known)


def _painted(services: Services, model: str, prompts: Sequence[str], tag: str) -> list[Image.Image]:
    """A picture of each prompt, each with a seed of its own."""
    made = []
    for number, prompt in enumerate(prompts):
        asked = {"model": model, "prompt": prompt + tag, "seed": 1000 + number, "preview_every": 0}
        job = services.run_now(validated(GenerationRequest, asked))
        (output,) = services.outputs.of_job(job)
        with Image.open(services.outputs.path(output)) as picture:
            made.append(picture.convert("RGB"))
    return made
