"""From an npm package to pixels: what is kept, how it is drawn, what is refused."""

import json

import numpy as np
import pytest

from training.embedded.collect import checked_icons, icon_names, load_art, render, svg
from training.embedded.sets import SETS

SQUARE = '<path fill="#f00" d="M0 0h10v10H0z"/>'
ICONS = {
    "width": 20,
    "height": 20,
    "icons": {
        "cat": {"body": SQUARE},
        "wide": {"body": SQUARE, "width": 40},
        "wave": {"body": SQUARE},
        "wave-dark": {"body": SQUARE},
        "hair-dark": {"body": SQUARE},
        "ear-light-skin-tone": {"body": SQUARE},
        "flag-france": {"body": SQUARE},
        "old": {"body": SQUARE, "hidden": True},
    },
}


def test_skin_tones_flags_and_hidden_icons_are_left_out():
    assert icon_names(ICONS) == ["cat", "hair-dark", "wave", "wide"]


def test_an_icon_is_drawn_where_it_stands_and_transparent_elsewhere():
    picture = render(svg(ICONS, "cat"))
    assert picture.shape == (128, 128, 4)
    assert picture[20, 20].tolist() == [255, 0, 0, 255]
    assert picture[100, 100, 3] == 0


def test_a_wide_icon_is_centred_in_a_square():
    picture = render(svg(ICONS, "wide"))
    assert np.flatnonzero(picture[:, 5, 3])[[0, -1]] == pytest.approx([32, 63], abs=1)


@pytest.mark.parametrize(
    ("version", "licence", "message"),
    [("9.9.9", SETS[0].licence, "is version 9.9.9"), (SETS[0].version, "CC-BY-SA-4.0", "SA-4.0")],
)
def test_another_version_or_licence_is_refused(tmp_path, version, licence, message):
    folder = tmp_path / SETS[0].package
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": version}))
    (folder / "info.json").write_text(json.dumps({"license": {"spdx": licence}}))
    (folder / "icons.json").write_text(json.dumps(ICONS))
    with pytest.raises(SystemExit, match=message):
        checked_icons(tmp_path, SETS[0])


def test_a_missing_stage_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDED_WORKSHOP", str(tmp_path))
    with pytest.raises(SystemExit, match=r"run python -m training\.embedded collect first"):
        load_art()
