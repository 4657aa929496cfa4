"""Windows over a plane: they cover it, and their weights add up to one."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.diffusion.upscaling.tiles import in_windows, windows


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    tile=st.integers(2, 48),
    overlap=st.integers(0, 24),
    scale=st.floats(1, 5),
)
def test_weights_add_up_to_one_everywhere(size, tile, overlap, scale):
    overlap = min(overlap, tile // 2)
    onto = (round(size[0] * scale), round(size[1] * scale))
    total = torch.zeros(onto[1], onto[0])
    for window in windows(size, tile, overlap, onto):
        part = window.of(total)
        assert part.shape == (window.height, window.width)
        part.add_(window.weight(total))
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(length=st.integers(2, 300), tile=st.integers(2, 64), overlap=st.integers(0, 32))
def test_neighbours_share_at_least_the_overlap_and_all_are_of_one_size(length, tile, overlap):
    overlap = min(overlap, tile // 2)
    spans = [(each.left, each.left + each.width) for each in windows((length, 1), tile, overlap)]
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert {last - first for first, last in spans} == {min(tile, length)}
    for (_, last), (first, _) in pairwise(spans):
        assert last - first >= overlap


def test_work_that_changes_nothing_gives_the_plane_back_and_every_window_is_told():
    plane = torch.randn(2, 4, 37, 53)
    plan, told = windows((53, 37), 16, 4), []
    back = in_windows(lambda window, part: part, plane, plan, lambda: told.append(1))
    assert torch.allclose(back, plane, atol=1e-6)
    assert len(told) == len(plan) == 5 * 3


def test_a_step_between_two_windows_is_spread_over_their_overlap():
    plan = windows((28, 16), 16, 4)
    plane = torch.zeros(1, 16, 28)
    blended = in_windows(lambda window, part: part + float(window.left > 0), plane, plan)
    row = blended[0, 8]
    assert row[:12].tolist() == [0] * 12
    assert row[16:].tolist() == pytest.approx([1] * 12)
    assert (row[12:16].diff() > 0).all()
    assert float(row.diff().max()) < 0.35
