"""The order of windows: complete, tight, and a function of the seed and the step."""

import numpy as np
import pytest

from studio.reader.finetuning.batches import Plan, share


@pytest.fixture(scope="module")
def lengths():
    return np.random.default_rng(3).integers(20, 384, 10_000).astype(np.int32)


def test_an_epoch_sees_every_window_and_few_twice(lengths):
    plan = Plan(lengths, 48, seed=1)
    seen = np.concatenate([plan.step(number) for number in range(plan.steps_an_epoch)])
    assert len(seen) == plan.steps_an_epoch * 48
    assert len(seen) - len(lengths) < 48
    assert set(seen) == set(range(len(lengths)))


def test_the_order_is_the_same_from_wherever_one_begins(lengths):
    plan = Plan(lengths, 48, seed=1)
    whole = [plan.step(number).tolist() for number in range(3 * plan.steps_an_epoch)]
    for number in (0, 7, plan.steps_an_epoch, len(whole) - 1):
        assert Plan(lengths, 48, seed=1).step(number).tolist() == whole[number]
    assert len({tuple(step) for step in whole}) == len(whole), "each epoch has its own order"
    assert Plan(lengths, 48, seed=2).step(0).tolist() != whole[0]


def test_windows_of_like_length_are_together(lengths):
    plan = Plan(lengths, 16, seed=0)
    steps = [plan.step(number) for number in range(plan.steps_an_epoch)]
    padded = sum(int(lengths[step].max()) * len(step) for step in steps)
    taken = sum(int(lengths[step].sum()) for step in steps)
    assert 1 - taken / padded < 0.03
    by_lot = np.random.default_rng(0).permutation(len(lengths))[:9984].reshape(-1, 16)
    assert 1 - lengths[by_lot].sum() / (lengths[by_lot].max(1).sum() * 16) > 0.3


def test_batches_of_a_step_come_in_all_lengths(lengths):
    """Not the short ones first: that would teach the model about lengths."""
    plan = Plan(lengths, 16, seed=0)
    means = [lengths[plan.step(number)].mean() for number in range(plan.steps_an_epoch)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.1


def test_fewer_windows_than_a_step_takes():
    plan = Plan(np.array([5, 9, 7], np.int32), 8, seed=0)
    assert plan.steps_an_epoch == 1
    assert set(plan.step(0)) == {0, 1, 2}
    assert len(plan.step(5)) == 8


def test_processes_share_a_step():
    windows = np.arange(24)
    parts = [share(windows, 3, process, 2) for process in range(2)]
    assert [len(part) for part in parts] == [3, 3]
    assert all(len(batch) == 4 for part in parts for batch in part)
    assert sorted(np.concatenate([batch for part in parts for batch in part])) == list(windows)
    assert np.concatenate(share(windows, 6, 0, 1)).tolist() == windows.tolist()
