"""Judges: how much samples are the subject, and how much they are what their prompts say.

Whatever judges, it is asked the same two things. Where a CLIP or a DINO is installed below the data
folder, the scores are those of Ruiz et al. 2022 (arXiv 2208.12242, section 5), which papers
compare; else the studio's own judge of drawings gives scores of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from studio.training.watching.embedded_judge.judge import EmbeddedJudge
from studio.training.watching.networks import Network, NetworkJudge, networks

FOLDER = Path("models") / "judges"
"""Below the data folder: one folder a model, as transformers saves it."""


class Judge(Protocol):
    """Scores pictures. All scores are the same for the same pictures.

    Every method raises DataError where there is nothing to compare with, and ModelError when the
    judge's own weights are damaged.
    """

    @property
    def name(self) -> str:
        """What it is and what it measures, in words."""

    @property
    def same_subject(self) -> float | None:
        """From which subject score on a sample shows the subject; None where nobody can say."""

    def alike(self, images: Sequence[Image.Image], others: Sequence[Image.Image]) -> np.ndarray:
        """How much each picture is like each of the others: (n, m), 1 for the same picture."""

    def subject(
        self, images: Sequence[Image.Image], references: Sequence[Image.Image]
    ) -> list[float]:
        """How much each sample shows the subject of the references; higher is better."""

    def prompt(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float | None]:
        """How much each sample shows what its prompt says; None where the judge cannot tell."""


def installed(data: Path, device: str = "cpu") -> list[Judge]:
    """All judges that can be used, best first; the last one is always the studio's own.

    DINO stands before CLIP, as it tells subjects of one class apart (Ruiz et al. 2022, section
    5.1), and large models before small ones. data: the data folder. device: torch's name of where
    networks run. Nothing is loaded yet.
    """
    found = networks(data / FOLDER, device)
    readers = [network for network in found if network.reads]
    reader: Network | None = readers[0] if readers else None
    judges: list[Judge] = [
        NetworkJudge(network, network if network.reads else reader) for network in found
    ]
    return [*judges, EmbeddedJudge()]
