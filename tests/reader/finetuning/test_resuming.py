"""A run that is killed or told to stop goes on as if nothing had been, to the bit."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tuning_runs import SECONDS, done, environment, lines, newest, weights

from studio.reader.finetuning.child import command
from studio.reader.finetuning.loop import curve
from studio.reader.finetuning.options import Options
from studio.reader.finetuning.program import STOPPED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs signals"),
]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, options: Options) -> Path:
    run = tmp_path_factory.mktemp("unbroken")
    done(run, options)
    return run


def halted(run: Path, options: Options, number: signal.Signals, step: int) -> tuple[int, list]:
    """Begin a run that saves at every step, and send a signal once it has told of one."""
    options.write(run)
    child = subprocess.Popen(
        command(run), env=environment(), stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert child.stdout is not None
    told = []
    for line in child.stdout:
        told += lines(line)
        if told[-1]["type"] == "saved" and told[-1]["step"] == step:
            child.send_signal(number)
            break
    rest, _ = child.communicate(timeout=SECONDS)
    return child.returncode, told + lines(rest)


def assert_same(run: Path, other: Path) -> None:
    for one, two in ((newest(run), newest(other)), (run / "best", other / "best")):
        assert one.name == two.name
        ours, theirs = weights(one), weights(two)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name
    assert curve(run) == curve(other)


def test_a_run_learns(unbroken):
    points = [point["loss"] for point in curve(unbroken) if "loss" in point]
    assert sum(points[-5:]) < 0.7 * sum(points[:5])


@pytest.mark.parametrize("step", [1, 8, 11])
def test_a_killed_run_goes_on_to_the_same_weights(step, unbroken, options, tmp_path):
    run = tmp_path / "run"
    often = options.model_copy(update={"save_minutes": 0})
    code, _ = halted(run, often, signal.SIGKILL, step)
    assert code == -signal.SIGKILL
    told = done(run)
    assert told[0]["type"] == "started"
    assert step <= told[0]["step"] < told[0]["steps"], "it went on from the middle"
    assert_same(run, unbroken)


def test_a_run_that_is_told_to_stop_keeps_its_place(unbroken, options, tmp_path):
    run = tmp_path / "run"
    often = options.model_copy(update={"save_minutes": 0})
    code, told = halted(run, often, signal.SIGTERM, 5)
    assert code == STOPPED
    assert told[-1] == {"type": "stopped", "step": told[-1]["step"]}
    assert told[-2] == {"type": "saved", "step": told[-1]["step"]}
    assert done(run)[0]["step"] == told[-1]["step"]
    assert_same(run, unbroken)
