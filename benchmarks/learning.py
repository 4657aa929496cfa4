"""What trainings teach the model that ships, and what they make it forget.

Five drawings of a thing that it has never seen (tests/data/zug), learnt as a LoRA, and as a whole
model by DreamBooth with and without prior preservation. The studio's own judge says of 50 pictures
whether they show the thing, and of prompts for 50 things that the model draws right with one seed
whether they are recognised with another one as often as before. LEARNING names the methods to
measure, all by default.
"""

import os
import random
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
from training.embedded.things import things

_ROOT = Path(__file__).resolve().parents[1]
_SUBJECT = _ROOT / "tests" / "data" / "zug"
_COUNT, _RECOGNISED = 50, 0.5
_FIRST_SEED, _SEED = 5000, 1000
_WORD, _CLASS = "zug", "a star"
_STEPS, _TRIES = 400, 3
_OTHERS = [thing.phrase(thing.name) for thing in things()[1::2]]
"""What is kept is measured by the other half of the things."""
_KEPT: dict[str, Any] = {
    "preservation": True,
    "class_pictures": 200,
    # Every fourth picture is of the class itself.
    "class_prompt": "\n".join(
        each
        for place in range(0, len(_OTHERS), 3)
        for each in (_CLASS, *_OTHERS[place : place + 3])
    ),
}
_METHODS: dict[str, dict[str, Any]] = {
    "lora": {"prompt": f"a {_WORD}", "learning_rate": 1e-3, "batch_size": 4},
    "lora-kept": {
        "prompt": f"a {_WORD}",
        "learning_rate": 6e-4,
        "batch_size": 4,
        **_KEPT,
    },
    "prior": {
        "method": "dreambooth",
        "whole": True,
        "prompt": f"a {_WORD} star",
        "learning_rate": 5e-5,
        "batch_size": 4,
        **_KEPT,
    },
    "no-prior": {
        "method": "dreambooth",
        "whole": True,
        "prompt": f"a {_WORD} star",
        "learning_rate": 5e-5,
        "batch_size": 4,
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
            prompts = _known(services)
            before = _recognised(services, "", prompts, "")
            classes = _recognised(services, "", [_CLASS] * _COUNT, "")
            for name in names:
                found = _learnt(services, name, prompts, before, classes)
                print(*(f"  {each.name}: {each.value:.1f}" for each in found), sep="\n", flush=True)
                figures += found
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
    if folder.is_dir():  # all methods learn beside the same ones
        return folder
    folder.mkdir()
    prompts = [
        request.class_prompts[number % len(request.class_prompts)]
        for number in range(request.class_pictures or 0)
    ]
    for number, picture in enumerate(_painted(services, "", prompts, "", 0)):
        picture.save(folder / f"{number:04}.png")
    return folder


def _known(services: Services) -> list[str]:
    """Prompts of things that the model has drawn right, of half that the judge names."""
    prompts = [thing.phrase(thing.name) for thing in things()[::2]]
    random.Random(0).shuffle(prompts)
    judge, right, tried = EmbeddedJudge(), list[str](), 0
    for prompt in prompts * _TRIES:
        if prompt in right:
            continue
        [score] = judge.prompt(_painted(services, "", [prompt], "", _FIRST_SEED + tried), [prompt])
        tried += 1
        if score is not None and score >= _RECOGNISED:
            right.append(prompt)
        if len(right) == _COUNT:
            break
    print(f"  {len(right)} things were drawn right in {tried} pictures", flush=True)
    return right


def _recognised(services: Services, model: str, prompts: Sequence[str], tag: str) -> float:
    """Share of the prompts whose thing the judge sees."""
    told = EmbeddedJudge().prompt(_painted(services, model, prompts, tag), prompts)
    known = [each for each in told if each is not None]
    return sum(each >= _RECOGNISED for each in known) / len(known)


def _painted(
    services: Services, model: str, prompts: Sequence[str], tag: str, first: int = _SEED
) -> list[Image.Image]:
    """A picture of each prompt, each with a seed of its own from the first one on."""
    made = []
    for number, prompt in enumerate(prompts):
        asked = {"model": model, "prompt": prompt + tag, "seed": first + number, "preview_every": 0}
        job = services.run_now(validated(GenerationRequest, asked))
        (output,) = services.outputs.of_job(job)
        with Image.open(services.outputs.path(output)) as picture:
            made.append(picture.convert("RGB"))
    return made
