"""Two processes do one run together, as one process with batches of twice the size does it."""

import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tuning_runs import SECONDS, done, environment, lines, newest, weights

from studio.models.devices import Device
from studio.reader.finetuning.child import Child, command
from studio.reader.finetuning.loop import curve
from studio.reader.finetuning.model import load
from studio.reader.finetuning.options import Options

pytestmark = pytest.mark.slow


def together(run: Path, options: Options) -> list[dict]:
    """Do a run in two processes on the CPU."""
    options.write(run)
    ended = subprocess.run(
        command(run, processes=2),
        env=environment() | {"ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return lines(ended.stdout)


def test_two_processes_do_what_one_does_with_twice_the_batch(options, tmp_path):
    plain = options.model_copy(update={"dropout": 0.0, "attention_dropout": 0.0})
    told = together(tmp_path / "two", plain)
    done(tmp_path / "one", plain.model_copy(update={"batch_size": 2 * plain.batch_size}))

    steps = [line["step"] for line in told if line["type"] == "progress"]
    assert steps == list(range(1, steps[-1] + 1)), "one process tells of it"
    ours, theirs = (curve(tmp_path / name) for name in ("two", "one"))
    assert [point["step"] for point in ours] == [point["step"] for point in theirs]
    for two, one in zip(ours, theirs, strict=True):
        for name in two:
            assert two[name] == pytest.approx(one[name], rel=0.02, abs=0.02), (two["step"], name)
    ours, theirs = (weights(newest(tmp_path / name)) for name in ("two", "one"))
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() < 0.01, name


def test_all_processes_end_with_the_same_weights(options, tmp_path):
    run = tmp_path / "run"
    options.model_copy(update={"epochs": 3, "dev": None}).write(run)
    line = command(run, processes=2)
    script = [*line[: line.index("-m", 2)], str(Path(__file__).with_name("ranks.py")), str(run)]
    ended = subprocess.run(
        script,
        env=environment() | {"ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first, second = (load_file(run / f"rank-{rank}.safetensors") for rank in (0, 1))
    whole = weights(run / "best")
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
        assert torch.equal(first[name], whole[name]), name
    assert not torch.equal(whole["qa_outputs.weight"], load(options.base, 0)[0].qa_outputs.weight)


def test_several_processes_stop_with_a_checkpoint_and_go_on(options, tmp_path, monkeypatch):
    """Also the launcher's children hear of a stop: they share its standard input."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = tmp_path / "run"
    options.model_copy(update={"epochs": 500, "dev": None}).write(run)
    cpu = Device("cpu", "CPU", "float32")
    reached = []
    for _ in range(2):
        child = Child(run, cpu, processes=2)
        try:
            for told in child.told():
                if told is not None and told["type"] in ("started", "progress"):
                    reached.append((told["type"], told["step"]))
                    if told["type"] == "progress" and told["step"] % 5 == 0:
                        break
        finally:
            child.stop()
        assert "step-" in newest(run).name, "a checkpoint was written"
    begins = [step for kind, step in reached if kind == "started"]
    assert begins[0] == 0 < begins[1]
