"""Reads a Dockerfile, as far as ours goes, and does its steps in a folder instead of an image."""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One instruction: its word, and all that stands behind it on one line."""

    word: str
    rest: str

    def options(self) -> dict[str, str]:
        """The --options before the rest."""
        found = re.findall(r"--(\w[\w-]*)=(\S+)", self.rest)
        return dict(found)

    def arguments(self) -> list[str]:
        """What stands behind the options, in either of the two ways to write it."""
        bare = re.sub(r"^(--\S+\s+)+", "", self.rest)
        return json.loads(bare) if bare.startswith("[") else shlex.split(bare)


@dataclass
class Stage:
    """From one FROM to the next."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[Step]:
        """Its steps of one word."""
        return [step for step in self.steps if step.word == word]


def read(path: Path) -> dict[str, Stage]:
    """The stages by name."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    stages: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name] = stage = Stage(name, base)
        elif word:
            stage.steps.append(Step(word, rest.strip()))
    return stages


def lineage(stages: dict[str, Stage], name: str) -> list[Stage]:
    """A stage after all that it is built from."""
    stage = stages[name]
    return [*(lineage(stages, stage.base) if stage.base in stages else []), stage]


def environment(stages: dict[str, Stage], name: str) -> dict[str, str]:
    """All that ENV says in a stage and before it."""
    found: dict[str, str] = {}
    for stage in lineage(stages, name):
        for step in stage.all("ENV"):
            found |= dict(pair.split("=", 1) for pair in shlex.split(step.rest))
    return found


def context(root: Path) -> set[str]:
    """What of the top folder is sent to the builder, as .dockerignore lists it."""
    lines = (root / ".dockerignore").read_text("utf-8").split()
    assert lines[0] == "*"
    return {line[1:] for line in lines if line.startswith("!")}


class House:
    """A folder in the place of an image's root; places: absolute folders that are moved into it."""

    def __init__(self, folder: Path, root: Path, places: tuple[str, ...]):
        self.folder, self._root, self._places = folder, root, places

    def inside(self, text: str) -> str:
        """The text with all moved places where they are now."""
        for place in self._places:
            text = re.sub(rf"(?<![\w./]){place}(?![\w])", f"{self.folder}{place}", text)
        return text

    def copy(self, step: Step, workdir: Path) -> None:
        """Do a COPY from the context."""
        *sources, target = step.arguments()
        for name in sources:
            assert name in context(self._root), f"{name} is not sent to the builder"
            place = workdir / target / (name if target.endswith("/") else "")
            if (self._root / name).is_dir():
                shutil.copytree(self._root / name, place, ignore=_ignored, dirs_exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._root / name, place)

    def run(self, command: str, workdir: Path, environment: dict[str, str]) -> str:
        """Do a RUN, without its mounts; what it printed."""
        bare = re.sub(r"^(--mount=\S+\s+)+", "", command)
        workdir.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-ec", self.inside(bare)],
            cwd=workdir,
            env={"PATH": os.defpath} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def _ignored(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__" or fnmatch(name, "*.pyc")}
