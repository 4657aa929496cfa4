"""Which checkpoint is recommended, and what is said for it."""

import math

from studio.training.watching.recommendation import (
    Scores,
    best_by_loss,
    recommended,
)


def test_without_checkpoints_there_is_nothing_to_use():
    assert recommended([], {}) is None


def test_without_measures_it_is_the_last():
    found = recommended([300, 100, 200], {})
    assert found is not None
    assert found.step == 300
    assert "nothing was measured" in found.reason
    assert recommended([100, 200], {200: Scores(held_out=math.nan)}).step == 200


def test_without_samples_it_is_the_lowest_held_out_loss():
    scores = {100: Scores(0.3), 200: Scores(0.11), 300: Scores(0.12), 400: Scores(math.nan)}
    found = recommended([100, 200, 300, 400], scores)
    assert found.step == 200
    assert found.reason == (
        "Use step 200: its held-out loss, 0.11, is the lowest of 3 checkpoints; no samples were "
        "scored."
    )


def test_the_best_samples_win_where_the_difference_is_clear():
    scores = {
        100: Scores(0.10, subject=(0.2, 0.3, 0.25, 0.2)),
        200: Scores(0.12, subject=(0.8, 0.9, 0.85, 0.8)),
        300: Scores(0.11, subject=(0.5, 0.6, 0.5, 0.4)),
    }
    found = recommended([100, 200, 300], scores)
    assert found.step == 200
    assert "subject 0.84" in found.reason
    assert "best of 3 checkpoints" in found.reason


def test_among_equals_the_lowest_held_out_loss_wins():
    scores = {
        100: Scores(0.10, subject=(0.2, 0.3, 0.25, 0.2)),
        200: Scores(0.12, subject=(0.80, 0.90, 0.85, 0.80)),
        300: Scores(0.15, subject=(0.90, 0.82, 0.79, 0.86)),
    }
    found = recommended([100, 200, 300], scores)
    assert found.step == 200
    assert "(step 300) but for chance" in found.reason
    assert "0.12, is the lowest among equals" in found.reason


def test_among_equals_without_losses_the_earliest_wins():
    scores = {
        200: Scores(subject=(0.80, 0.90, 0.85, 0.80)),
        300: Scores(subject=(0.90, 0.82, 0.79, 0.86)),
    }
    found = recommended([200, 300], scores)
    assert found.step == 200
    assert "the earliest" in found.reason


def test_a_subject_that_is_bought_with_the_prompt_is_not_worth_it():
    scores = {
        200: Scores(subject=(0.80, 0.82, 0.81), prompt=(0.9, 0.92, None)),
        400: Scores(subject=(0.86, 0.88, 0.87), prompt=(0.4, 0.42, None)),
    }
    assert recommended([200, 400], scores).step == 200


def test_copies_of_training_pictures_are_not_recommended():
    scores = {
        200: Scores(subject=(0.7, 0.72, 0.71)),
        400: Scores(subject=(0.98, 0.99, 0.97), copies=3),
    }
    found = recommended([200, 400], scores)
    assert found.step == 200
    assert "mostly copies" in found.reason
    assert recommended([400], {400: scores[400]}).step == 400, "there is no other"


def test_scores_of_checkpoints_that_are_gone_do_not_count():
    scores = {100: Scores(0.1), 200: Scores(0.2), 300: Scores(0.3)}
    assert recommended([200, 300], scores).step == 200


def test_negative_and_missing_scores_are_survived():
    scores = {100: Scores(subject=(-0.2,), prompt=(None,)), 200: Scores(0.2, prompt=(None, None))}
    assert recommended([100, 200], scores).step == 200


def test_best_by_one_measure():
    scores = {
        100: Scores(0.2, subject=(0.5,)),
        200: Scores(0.1, subject=(0.7,)),
        300: Scores(0.1, subject=(0.9,)),
        400: Scores(math.nan),
    }
    assert best_by_loss(scores) == 200
    assert best_by_loss({}) is None
