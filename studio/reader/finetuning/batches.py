"""Which windows are learnt from at which step: a pure function of the seed and the step.

Windows of like length share a batch, so that little is computed for padding.
"""

from collections.abc import Iterator

import numpy as np

_POOL = 4096
"""Windows, drawn by lot, among which those of like length are put together."""


class Plan:
    """The order of all steps.

    lengths: tokens of each window. group: windows of a step, of all processes together.
    Every epoch sees every window; its last step is filled up with windows drawn by lot.
    """

    def __init__(self, lengths: np.ndarray, group: int, seed: int):
        self._lengths = lengths
        self._group = group
        self._seed = seed
        self._epoch = -1
        self._steps: list[np.ndarray] = []

    @property
    def steps_an_epoch(self) -> int:
        """Steps in which every window is seen."""
        return -(-len(self._lengths) // self._group)

    def step(self, number: int) -> np.ndarray:
        """The windows of a step, counted from 0 over all epochs, shortest first."""
        epoch, place = divmod(number, self.steps_an_epoch)
        if epoch != self._epoch:
            self._epoch, self._steps = epoch, list(self._order(epoch))
        return self._steps[place]

    def _order(self, epoch: int) -> Iterator[np.ndarray]:
        lot = np.random.default_rng((self._seed, epoch))
        order = lot.permutation(len(self._lengths))
        missing = self.steps_an_epoch * self._group - len(order)
        order = np.concatenate([order, lot.integers(0, len(self._lengths), missing)])
        pool = self._group * max(1, _POOL // self._group)
        groups = []
        for first in range(0, len(order), pool):
            some = order[first : first + pool]
            some = some[np.argsort(self._lengths[some], kind="stable")]
            groups += np.split(some, range(self._group, len(some), self._group))
        for place in lot.permutation(len(groups)):
            yield groups[place]


def share(windows: np.ndarray, accumulate: int, process: int, processes: int) -> list[np.ndarray]:
    """The batches of a step that one process computes, each of windows of like length."""
    return np.split(windows, accumulate * processes)[process::processes]
