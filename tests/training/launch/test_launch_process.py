"""The process of a run: apart from its parent, without its secrets, ended with all its parts."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from train_runs import PROGRAM, SECONDS, request, wait_until

from studio.errors import StorageError
from studio.models.devices import Device
from studio.training.launch.process import (
    begin,
    command,
    environment,
    is_dead,
    is_running,
    job_of,
    kill,
    last_words,
    processes_of,
)
from studio.training.run_folder import SILENCE, Phase, RunFolder, RunStatus, Wish
from studio.training.task import Task

CPU = Device("cpu", "CPU", "float32")


@pytest.fixture
def run(folder: Path) -> RunFolder:
    """A run's folder with its task."""
    made = RunFolder(folder / "runs" / "rex-1")
    task = Task(request=request(steps=2000), data=folder, pictures=folder / "pictures" / "dogs")
    task.write(made.path)
    return made


def training(run: RunFolder) -> bool:
    return run.status().phase is Phase.TRAINING


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_has_nothing_of_its_parent(run, monkeypatch):
    monkeypatch.setenv("ATELIER_HOST", "0.0.0.0")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pid = begin(run, CPU, job_id="job-1", program=PROGRAM)
    wait_until(lambda: training(run))
    process = psutil.Process(pid)
    assert os.getsid(pid) == pid != os.getsid(0)
    streams = [Path(f"/proc/{pid}/fd/{number}").readlink() for number in range(3)]
    assert streams == [Path(os.devnull), run.path / "log.txt", run.path / "log.txt"]
    assert Path(process.cwd()).parent == run.path
    assert run.status().pid == pid
    assert is_running(run)
    assert not is_dead(run)
    assert job_of(run) == "job-1"
    seen = json.loads((run.path / "log.txt").read_text().partition("begun with ")[2])
    assert "HF_TOKEN" not in seen
    assert "ATELIER_HOST" not in seen
    assert seen["ACCELERATE_USE_CPU"] == "true"
    kill(run, PROGRAM)
    assert not psutil.pid_exists(pid) or process.status() == psutil.STATUS_ZOMBIE
    assert run.status().phase is Phase.STOPPED


@pytest.mark.parametrize("name", ["HF_TOKEN", "RUNPOD_API_KEY", "DB_PASSWORD", "aws_secret", "KEY"])
def test_secrets_stay_behind(name):
    given = {name: "x", "PATH": "/bin", "TOKENIZERS_PARALLELISM": "false", "KEYBOARD": "de"}
    kept = environment(given | {"HTTPS_PROXY": "http://me:word@proxy:80"}, CPU)
    assert name not in kept
    assert "HTTPS_PROXY" not in kept
    assert kept["PATH"] == "/bin"
    assert {"TOKENIZERS_PARALLELISM", "KEYBOARD"} <= kept.keys()


def test_a_gpu_is_named_for_one_process_alone():
    gpu = Device("cuda:1", "GPU", "float16")
    assert environment({}, gpu)["ACCELERATE_TORCH_DEVICE"] == "cuda:1"
    assert "ACCELERATE_TORCH_DEVICE" not in environment({}, gpu, processes=2)
    assert "ACCELERATE_USE_CPU" not in environment({}, CPU, configured=True)


def test_the_command_line_of_each_way(tmp_path):
    run, file = tmp_path / "run", tmp_path / "two machines.yaml"
    program = [sys.executable, "-m", "studio.training", str(run)]
    assert command(run) == program
    several = command(run, 4)
    assert several[1:4] == ["-m", "accelerate.commands.launch", "--multi_gpu"]
    assert several[several.index("--num_processes") + 1] == "4"
    assert several[-3:] == program[1:]
    configured = command(run, 1, file)
    assert configured[3:5] == ["--config_file", str(file)]
    assert "--num_processes" not in configured
    assert configured[-3:] == program[1:]


def test_it_is_told_by_a_wish_and_by_sigterm(run):
    begin(run, CPU, program=PROGRAM)
    wait_until(lambda: training(run))
    run.wish(Wish.STOP)
    wait_until(lambda: run.status().phase is Phase.STOPPED)
    begin(run, CPU, program=PROGRAM)
    assert run.wished() is None, "an old wish has had its day"
    wait_until(lambda: training(run))
    os.kill(run.status().pid, signal.SIGTERM)
    wait_until(lambda: run.status().phase is Phase.PAUSED)
    assert not is_running(run)


def test_a_killed_one_is_known_to_be_dead_at_once(run):
    begin(run, CPU, program=PROGRAM)
    wait_until(lambda: training(run))
    os.kill(run.status().pid, signal.SIGKILL)
    start = time.monotonic()
    wait_until(lambda: is_dead(run), seconds=15)
    assert time.monotonic() - start < 5
    assert run.status().phase is Phase.TRAINING, "it could say nothing itself"


def test_one_that_never_says_a_word_is_dead_too(run):
    (run.path / "task.json").unlink()
    begin(run, CPU, program=PROGRAM)
    wait_until(lambda: is_dead(run), seconds=15)
    assert "has no task that can be read" in last_words(run)


def test_another_process_with_its_number_is_not_it(run):
    mine = psutil.Process()
    run.tell(RunStatus(Phase.TRAINING, pid=mine.pid, started=mine.create_time() - 500))
    assert not is_running(run)
    assert is_dead(run)
    run.tell(RunStatus(Phase.PREPARING))
    assert not is_dead(run)
    assert is_dead(run, time.time() + SILENCE + 1)
    run.tell(RunStatus(Phase.WAITING))
    assert not is_dead(run, time.time() + 1000)


def test_a_folder_that_refuses_is_told_of(run):
    (run.path / "desk").write_text("in the way")
    with pytest.raises(StorageError, match="begin the training"):
        begin(run, CPU, program=PROGRAM)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs sessions")
def test_all_parts_of_several_processes_are_killed(run):
    """The launcher's workers are sessions of their own: no group has them all."""
    begin(run, CPU, processes=2, program=PROGRAM)
    wait_until(lambda: (run.path / "rank-1").is_file() and training(run), 3 * SECONDS)
    assert is_running(run)
    parts = processes_of(run, PROGRAM)
    assert len(parts) >= 3
    assert run.status().pid in {each.pid for each in parts}
    kill(run, PROGRAM)
    assert not processes_of(run, PROGRAM)
    assert not is_running(run)


@pytest.mark.slow
def test_a_configuration_of_accelerate_begins_it(run, tmp_path):
    config = tmp_path / "two.yaml"
    config.write_text(
        "compute_environment: LOCAL_MACHINE\ndebug: false\ndistributed_type: MULTI_GPU\n"
        "machine_rank: 0\nmain_training_function: main\nmixed_precision: 'no'\nnum_machines: 1\n"
        "num_processes: 2\nuse_cpu: false\n"
    )
    begin(run, CPU, 1, config, program=PROGRAM)
    wait_until(lambda: (run.path / "rank-1").is_file() and training(run), 3 * SECONDS)
    run.wish(Wish.PAUSE)
    wait_until(lambda: run.status().phase is Phase.PAUSED)
    wait_until(lambda: not processes_of(run, PROGRAM))
