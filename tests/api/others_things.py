"""A studio in which Ada has something of every sort, each with a mark that nobody else may read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch
from browser.live_server import LiveServer
from safetensors.torch import load_file, save_file
from sample_pictures import png
from train_runs import PROGRAM

from studio.people import Role, acting_as
from studio.reader.leaderboard import Entry
from studio.reader.predictions import Predictions
from studio.services import Services, build_services
from studio.settings import Settings
from studio.training_requests import TrainRequest

PASSWORD = "a pass, word: ü"
SETTINGS = {"device": "cpu", "dtype": "float32", "accounts": "on"}
WEIGHT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
MARK = "zq"
"""What every mark begins with, and nothing else that the studio says."""
PROMPT, RUNNING, TASK = "zqprompt", "zqrunning", "zqtask"
SET, CAPTION, RUN, SAMPLE = "zqset", "zqcaption", "zqrun", "zqsample"
DATA, TEXT, WHO, BOARD = "zqdata", "zqtext", "zqwho", "zqboard"
LORA, MODEL, STYLE, STYLED = "zqlora", "zqmodel", "zqstyle", "zqstyled"
_SQUAD = (
    '{"version": "v2.0", "data": [{"title": "zqtext", "paragraphs": [{"context": "zqtext 1931.",'
    '"qas": [{"id": "q1", "question": "When?", "is_impossible": false,'
    '"answers": [{"text": "1931", "answer_start": 7}]}]}]}]}'
)


@dataclass
class Crowd:
    """The studio, who is in it, and by which names Ada's things can be asked for."""

    url: str
    tokens: dict[str, str]
    names: dict[str, Any] = field(default_factory=dict)

    def client(self, name: str) -> httpx.Client:
        """Somebody's program."""
        headers = {"Authorization": f"Bearer {self.tokens[name]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)


@contextmanager
def crowd(folder: Path) -> Iterator[Crowd]:
    """Ada's things, with a real server on them; one job of hers runs all the time."""
    services = build_services(
        Settings(data_dir=folder / "data", **SETTINGS), training_program=PROGRAM
    )
    tokens = {}
    for name, role in (("root", "administrator"), ("ada", "member"), ("bob", "member")):
        tokens[name] = _token(services, name, role)
    tokens["vi"] = _token(services, "vi", "viewer")
    with acting_as(services.accounts.named("ada").person):
        names = _filled(services, folder / "data")
    services.stop()
    server = LiveServer(folder, ATELIER_ACCOUNTS="on", ATELIER_DTYPE="float32").start()
    try:
        made = Crowd(server.url, tokens, names)
        _made_over_the_api(made)
        yield made
    finally:
        server.stop()


def _token(services: Services, name: str, role: str) -> str:
    return services.accounts.make_token(services.accounts.add(name, Role(role), PASSWORD), "a test")


def _filled(services: Services, data: Path) -> dict[str, Any]:
    models = data / "models"
    (models / "loras").mkdir(parents=True, exist_ok=True)
    [unet] = (services.catalogue.get("").path / "unet").glob("*.safetensors")
    out, states = load_file(unet)[WEIGHT].shape
    down, up = (f"unet.{WEIGHT}".replace("to_k", f"to_k.lora_{end}") for end in "AB")
    both = {down: torch.zeros(4, states), up: torch.zeros(out, 4)}
    for place in (models / f"loras/{LORA}.safetensors", models / f"{MODEL}.safetensors"):
        services.catalogue.keep(place)
        save_file(both, place)
    services.picture_sets.create(SET)
    services.picture_sets.add(
        SET, [(f"{n}.{end}", content) for n in range(2) for end, content in _pair(n)]
    )
    services.run_now(TrainRequest(name=RUN, pictures=SET, prompt=SAMPLE, trigger=SAMPLE, steps=10))
    [run] = [each.name for each in services.runs.entries()]
    name = services.data_sets.add(_SQUAD.encode(), f"{DATA}.json")
    entry = Entry("minilm-reader-v0", BOARD, who=WHO)
    kept = services.leaderboard.submit(
        entry, services.data_sets.get(name), Predictions({"q1": "1931"})
    )
    return {"run": run, "submission": kept.id, "data": name}


def _pair(number: int) -> Iterator[tuple[str, bytes]]:
    yield "png", png(128 + number, 128)
    yield "txt", f"{CAPTION} {number}".encode()


def _made_over_the_api(made: Crowd) -> None:
    """A picture, an input, a style, an option, a task, and a job that goes on."""
    with made.client("ada") as ada:
        body = {"prompt": PROMPT, "steps": 1, "width": 64, "height": 64, "force_task_id": TASK}
        ada.post("/sdapi/v1/txt2img", json=body | {"send_images": False}).raise_for_status()
        [job] = ada.get("/api/v1/jobs", params={"kind": "generate"}).json()["jobs"]
        [output] = ada.get("/api/v1/outputs").json()["outputs"]
        kind = {"Content-Type": "image/png"}
        sent = ada.post("/api/v1/inputs", content=png(64, 64), headers=kind).raise_for_status()
        style = {"name": STYLE, "prompt": STYLED}
        ada.post("/api/v1/styles", json=style).raise_for_status()
        options = {"samples_format": "webp", "CLIP_stop_at_last_layers": 7}
        ada.post("/sdapi/v1/options", json=options).raise_for_status()
        long = {"kind": "generate", "prompt": RUNNING, "steps": 150, "batch_count": 100}
        for _ in range(2):
            ada.post("/api/v1/jobs", json=long).raise_for_status()
        made.names |= {"job": job["id"], "output": output["id"], "digest": sent.json()["hash"]}
