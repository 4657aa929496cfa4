"""A loader of models that are just names, and what is in memory of them."""

import threading
import time
import weakref

from studio.context import ModelSpec
from studio.errors import ModelError
from studio.models.manager import ModelManager
from studio.models.slots import Footprint

MB = 10**6
WAIT = 5.0
"""Seconds after which a thread that still waits has been forgotten."""


class Weights:
    """What a model holds."""

    def __init__(self, name: str):
        self.name = name


class Shelf:
    """A loader of models by name: `apple:30` is one of 30 MB."""

    def __init__(self):
        self.loads: list[str] = []
        self.faults: list[BaseException] = []
        self.views = 0
        self.gate = threading.Event()
        self.gate.set()
        self.loading = threading.Event()

    def title(self, model_id):
        return model_id.partition(":")[0].capitalize()

    def estimate(self, model_id, rungs):
        if "damaged" in model_id:
            raise ModelError("The model is damaged.")
        size = int(model_id.partition(":")[2]) * MB
        return Footprint(size, size)

    def load(self, model_id, rungs):
        self.loads.append(model_id)
        self.loading.set()
        assert self.gate.wait(WAIT)
        if self.faults:
            raise self.faults.pop(0)
        return Weights(model_id)

    def measure(self, model):
        return int(model.name.partition(":")[2]) * MB

    def view(self, model, task):
        if task == "refused":
            raise ModelError("There is no such task.")
        self.views += 1
        return (task, model)


class Counted(Shelf):
    """A loader that counts what is in memory, and who loads what at the same time."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.at_work: list[str] = []
        self.twice: list[str] = []

    def load(self, model_id, rungs):
        with self.lock:
            if model_id in self.at_work:
                self.twice.append(model_id)
            self.at_work.append(model_id)
        time.sleep(0.002)
        weights = super().load(model_id, rungs)
        size = self.measure(weights)
        with self.lock:
            self.at_work.remove(model_id)
            self.now += size
            self.most = max(self.most, self.now)
        weakref.finalize(weights, self.freed, size)
        return weights

    def freed(self, size):
        with self.lock:
            self.now -= size


def toy(model_id: str, task: str = "") -> ModelSpec:
    return ModelSpec("toy", model_id, task)


def use(manager: ModelManager, *ids: str) -> None:
    for model_id in ids:
        with manager.borrow(toy(model_id)):
            pass


def names(manager: ModelManager) -> list[str]:
    return [held.title for held in manager.held()]
