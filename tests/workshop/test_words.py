"""Lessons of the text encoder: they take hold, keep what was known, and survive a kill."""

from functools import partial

import numpy as np
import pytest
import torch
from simple_drawings import TINY

from training.embedded import words as stage
from training.embedded.painter import Words, build
from training.embedded.recipes import SHIPPED, Recipe
from training.embedded.words import teach


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(stage, "BATCH", 16)


def losses_of(printed):
    return [float(line.split("loss ")[1].split()[0]) for line in printed.splitlines()]


@pytest.mark.usefixtures("ready")
def test_a_caption_comes_to_tell_what_it_shows(words, monkeypatch, capsys):
    monkeypatch.setattr(stage, "Progress", partial(stage.Progress, every=0.0))
    teach(TINY, words, 60)
    losses = losses_of(capsys.readouterr().out)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_lessons_go_on_where_they_were_stopped(ready, words, monkeypatch):
    straight = teach(TINY, words, 4).text.state_dict()
    (ready / "words.safetensors").unlink()

    class Killed(Exception):
        pass

    def step(self, **figures):
        self.done += 1
        if self.done == 3:
            raise Killed

    monkeypatch.setattr(stage, "SAVE_EVERY", 2)
    with monkeypatch.context() as patch:
        patch.setattr(stage.Progress, "step", step)
        with pytest.raises(Killed):
            teach(TINY, words, 4)
    again = teach(TINY, words, 4).text.state_dict()
    assert all(torch.equal(straight[name], again[name]) for name in straight)


def test_known_things_keep_their_states_and_a_taught_run_begins_with_them(ready, monkeypatch):
    recipe = Recipe(start=SHIPPED, batch=4, taught=False)
    known = Words(SHIPPED / "tokenizer")
    before = build(recipe, known).text.eval()
    ids = known.ids(["a cat", "a blue dog"], 32)
    wanted = before(ids).last_hidden_state.detach()

    def drift():
        taught = build(Recipe(start=SHIPPED, batch=4, taught=True), known).text.eval()
        return float((taught(ids).last_hidden_state - wanted).square().mean().detach())

    with pytest.raises(SystemExit, match="No words are taught"):
        drift()
    teach(recipe, known, 25)
    free = drift()
    (ready / "words.safetensors").unlink()
    monkeypatch.setattr(stage, "KEPT", 500.0)
    (ready / "known.txt").write_text("cat\ndog\n")
    teach(recipe, known, 25)
    assert drift() < 0.6 * free
