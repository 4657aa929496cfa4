"""The checkpoint of the lowest held-out loss is kept beside the last ones."""

import pytest
from training_runs import here

from studio.training.checkpoints import Checkpoints, is_whole, read
from studio.training.looks import Looks


@pytest.mark.parametrize("sample_every", [0, 3])
def test_the_best_of_what_was_saved_is_kept(begun, tiny, monkeypatch, sample_every):
    measured = iter(range(1, 100))
    monkeypatch.setattr(Looks, "held_out", lambda self: {"held_out": float(next(measured))})
    folder = here(
        begun(
            "best",
            model=tiny("sd"),
            steps=12,
            save_every=4,
            sample_every=sample_every,
            sample_prompts=(),
        )
    )
    names = [each.name for each in Checkpoints(folder.path).all()]
    # The loss only rose, so that the first that was saved is the best.
    assert names == ["step-00000004", "step-00000008", "step-00000012"]
    newest = Checkpoints(folder.path).newest()
    assert newest is not None
    assert read(newest)[0].best_step == 4
    assert all(is_whole(each) for each in Checkpoints(folder.path).all())
