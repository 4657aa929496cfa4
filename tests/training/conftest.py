"""What the tests of the embedded model's stages share."""

from pathlib import Path

import pytest
from simple_drawings import draw_art


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh workshop that holds nothing but art."""
    monkeypatch.setenv("EMBEDDED_WORKSHOP", str(tmp_path))
    draw_art(tmp_path)
    return tmp_path
