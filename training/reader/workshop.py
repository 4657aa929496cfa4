"""Where the stages keep what they make."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def workshop() -> Path:
    """The folder of all stages: READER_WORKSHOP, or var/reader, which git ignores."""
    folder = Path(os.environ.get("READER_WORKSHOP") or ROOT / "var" / "reader")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_folder(name: str) -> Path:
    """The folder of a run."""
    return workshop() / "runs" / name
