"""The model's card: every figure in it is one of the evaluations', which must have been made."""

import json
import tomllib
from dataclasses import asdict
from xml.etree import ElementTree

import pytest
from PIL import Image
from simple_drawings import TINY

from training.embedded import card
from training.embedded.denoiser import Run, train
from training.embedded.evaluate import Verdict, best_cfg, verdicts_path
from training.embedded.export import export
from training.embedded.prompts import Wish
from training.embedded.recipes import SHIPPED
from training.embedded.things import by_name


def keep(folder, wishes, *found):
    path = verdicts_path(folder, wishes, best_cfg(folder))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([asdict(verdict) for verdict in found]))


def verdict(wish, first, seed=1, style=None):
    return Verdict(wish, seed, "x", first, True, None, None, style)


@pytest.fixture
def made(words, ready, monkeypatch):
    """A folder of a model that draws nothing, with its evaluations."""
    for _ in range(2):
        train(Run.open("run", TINY, words), words, minutes=0)
    folder = ready / "emoji-test"
    export("run", TINY, folder)
    monkeypatch.setattr(card, "STEPS", 1)
    monkeypatch.setattr(card, "grid_prompts", lambda: ["a cat"] * 9)
    things = [verdict(Wish("cat"), first, seed) for seed, first in ((1, True), (2, False))]
    keep(folder, "final", verdict(Wish("cat"), True), verdict(Wish("dog"), False))
    keep(folder, "things", *things, *(verdict(Wish("dog"), True, seed) for seed in (1, 2)))
    keep(folder, "styles", verdict(Wish("cat", style="noto"), True, style=False))
    keep(SHIPPED, "final", verdict(Wish("cat"), False))
    return folder


def test_the_card_holds_the_figures_of_the_evaluations(made):
    card.write(made, ["run"])
    text = (made / "README.md").read_text()
    assert "| things | 50.0% of 2 | 100.0% of 2 |" in text
    assert "| things | 0.0% of 1 | 100.0% of 1 |" in text, "its predecessor's"
    assert "* **2 of 2** (1 things): dog\n* **1 of 2** (1 things): cat" in text
    assert "| noto | 1 | 0.0% | 100.0% | 100.0% |" in text
    assert "2 steps of 32 pictures" in text
    assert "$" not in text
    assert tomllib.loads((made / "atelier.toml").read_text())["title"] == "Emoji v1"
    with Image.open(made / "grid.webp") as grid:
        assert grid.size == (1024, 256)
    points = ElementTree.parse(made / "curve.svg").getroot()
    assert points.tag.endswith("svg")


def test_without_an_evaluation_the_card_is_refused_with_the_command(made):
    verdicts_path(made, "styles", best_cfg(made)).unlink()
    with pytest.raises(SystemExit, match=r"evaluate .* --wishes styles first"):
        card.write(made, ["run"])


def test_the_grid_asks_for_things_that_are_known():
    prompts = card.grid_prompts()
    assert len(prompts) == len(set(prompts)) == 64
    for prompt in prompts:
        for part in prompt.partition(" on a")[0].split(",")[0].split(" and "):
            words = part.split()
            assert any(" ".join(words[i:]) in by_name() for i in range(len(words))), prompt


def test_a_model_is_judged_at_the_guidance_that_suits_it(tmp_path):
    assert best_cfg(tmp_path) == best_cfg(card.SETTINGS.parent)
    (tmp_path / "atelier.toml").write_text("cfg_scale = 7.5\n")
    assert best_cfg(tmp_path) == 7.5
