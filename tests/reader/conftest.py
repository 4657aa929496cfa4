"""Where the official data is, for who has it, and a small set of our own for who has not."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def squad_files() -> Path:
    """The folder with dev-v2.0.json.gz and the published predictions."""
    folder = ROOT.parent / "shared" / "squad"
    if not (folder / "dev-v2.0.json.gz").is_file():
        if os.environ.get("CI"):
            pytest.fail(f"The SQuAD files must be in {folder}.")
        pytest.skip(f"The SQuAD files are not in {folder}.")
    return folder
