"""The command line: what it makes, what it prints, and one sentence for every refusal."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_line import ended, jobs
from fake_hub import FakeHub
from filelock import FileLock
from judge.judge import Judge
from PIL import Image
from safetensors.torch import save_file

from studio.cli import pictures
from studio.diffusion.metadata import files
from studio.models.catalogue import Catalogue
from studio.models.hub import Hub

# A picture


def test_the_command_of_the_readme_makes_a_red_apple(spawn, data, tmp_path):
    target = tmp_path / "out.png"
    made = ended(spawn("generate", "a red apple", "--steps", 20, "--seed", 7, "-o", target))
    assert made.code == 0, made.err
    assert made.out.splitlines() == [str(target)]
    assert "Traceback" not in made.err
    with Image.open(target) as picture:
        judge = Judge.load()
        assert judge.recognises(picture, "apple")
        assert judge.colour(picture) == "red"
    fields = files.read(target).fields
    assert (fields["prompt"], fields["steps"], fields["seed"]) == ("a red apple", 20, 7)
    assert jobs(data) == ["finished"]
    [kept] = (data / "outputs").rglob("*.png")
    assert kept.read_bytes() == target.read_bytes()


def test_several_pictures_are_numbered(atelier, tmp_path):
    made = atelier("generate", "a cat", "--steps", 1, "--seed", 5, "--count", 2, "-o", "cat.png")
    assert made.code == 0, made.err
    assert made.out.splitlines() == ["cat-1.png", "cat-2.png"]
    seeds = [files.read(tmp_path / name).fields["seed"] for name in made.out.splitlines()]
    assert seeds == [5, 6]


@pytest.mark.parametrize(
    ("ending", "format"), [("jpg", "JPEG"), ("JPEG", "JPEG"), ("webp", "WEBP")]
)
def test_the_ending_of_the_output_says_the_format(atelier, tmp_path, ending, format):
    target = tmp_path / f"out.{ending}"
    assert atelier("generate", "a cat", "--steps", 1, "--seed", 9, "-o", target).code == 0
    with Image.open(target) as picture:
        assert picture.format == format
    assert files.read(target).fields["seed"] == 9


def test_without_an_output_the_place_in_the_data_folder_is_told(atelier, data):
    made = atelier("generate", "a cat", "--steps", 1, "--batch", 2, "--width", 64, "--height", 64)
    assert made.code == 0, made.err
    paths = [Path(line) for line in made.out.splitlines()]
    assert len(paths) == 2
    assert all(path.is_file() and path.is_relative_to(data / "outputs") for path in paths)


def test_all_options_reach_the_request(atelier, data):
    made = atelier(
        *("generate", "a cat", "--negative", "dog", "--sampler", "Euler", "--schedule", "Karras"),
        *("--steps", 2, "--cfg", 3, "--width", 64, "--height", 128, "--seed", 1),
        *("--clip-skip", 2, "--device", "cpu", "--dtype", "float32", "--data-dir", data),
        *("--model", Catalogue(Path("/nonexistent")).get("").id),
    )
    assert made.code == 0, made.err
    fields = files.read(Path(made.out.strip())).fields
    assert (fields["negative_prompt"], fields["sampler"], fields["schedule"]) == (
        "dog",
        "Euler",
        "Karras",
    )
    assert (fields["width"], fields["height"], fields["clip_skip"]) == (64, 128, 2)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "0"], "Steps must be greater than or equal to 1, but is 0."),
        (["--steps", "151"], "Steps must be less than or equal to 150, but is 151."),
        (["--width", "100"], "needs a multiple of"),
        (["--height", "63"], "Height must be greater"),
        (["--sampler", "Sampler 3000"], "Sampler must be 'DDPM', 'DDIM'"),
        (["--sampler", "DDIM", "--schedule", "Karras"], "choose one of Automatic"),
        (["--schedule", "Sideways"], "Schedule must be 'Automatic'"),
        (["--cfg", "nan"], "CFG scale must"),
        (["--seed", "-2"], "Seed must"),
        (["--count", "0"], "Batch count must"),
        (["--batch", "17"], "Batch size must"),
        (["--model", "none-such"], "Model 'none-such' is not installed; there are: "),
        (["--device", "abacus"], "Setting device (ATELIER_DEVICE) is 'abacus'"),
        (["--device", "cuda:7"], "Setting device (ATELIER_DEVICE) is 'cuda:7', but this machine"),
        (["--dtype", "float8"], "Setting dtype (ATELIER_DTYPE) is 'float8'"),
        (["--data-dir", ""], "Setting data_dir (ATELIER_DATA_DIR) is ''"),
        (["-o", "out.gif"], "Output out.gif has no picture's ending; use one of .png, .jpg"),
        (["-o", "out"], "Output out has no picture's ending"),
        (["-o", "nowhere/out.png"], "There is no folder nowhere for the output; make it first."),
    ],
)
def test_a_value_that_cannot_be_used(atelier, data, arguments, words):
    assert words in atelier("generate", "a red apple", *arguments).sentence()
    assert not data.exists() or jobs(data) == []


def test_a_prompt_of_ten_megabytes(atelier, data):
    refused = atelier("generate", "apple " * 1_700_000)
    assert "Prompt must have at most 20000 characters" in refused.sentence()
    assert "(10,200,000 characters)" in refused.err
    assert not data.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "x", "--steps", "many"], "Invalid value for '--steps'"),
        (["generate"], "Missing argument"),
        (["generate", "x", "--stepps", "3"], "No such option: --stepps"),
        (["serve", "--port", "http"], "Invalid value for '--port'"),
        (["generat"], "No such command 'generat'"),
    ],
)
def test_a_command_that_is_written_wrong(atelier, arguments, words):
    result = atelier(*arguments)
    assert result.code == 2
    *usage, last = result.err.strip().splitlines()
    assert last.startswith("Error: ")
    assert words in last
    assert usage[0].startswith("Usage: atelier")


def test_a_default_model_that_is_missing(atelier, monkeypatch):
    monkeypatch.setenv("ATELIER_DEFAULT_MODEL", "gone")
    assert "ATELIER_DEFAULT_MODEL) is 'gone', but it must be one of" in atelier("serve").sentence()
    assert "is 'gone'" in atelier("generate", "x").sentence()


@pytest.fixture
def broken(data: Path) -> Path:
    """A copy of the model that ships, without its weights."""
    whole = Catalogue(Path("/nonexistent")).get("").path
    folder = data / "models" / "broken"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def test_a_default_model_that_is_damaged(atelier, broken, monkeypatch):
    monkeypatch.setenv("ATELIER_DEFAULT_MODEL", "broken")
    refused = atelier("generate", "a red apple")
    assert f"Model folder {broken} is damaged: " in refused.sentence()
    assert refused.err.strip().endswith("; copy it again.")


@pytest.mark.parametrize("folder", ["/proc/atelier", "/sys/kernel/atelier", "/dev/null/atelier"])
@pytest.mark.parametrize("command", [["generate", "x"], ["serve"], ["models"]])
def test_a_data_folder_that_cannot_be_written(atelier, folder, command):
    if not Path(folder).parent.exists():
        pytest.skip(f"there is no {Path(folder).parent}")
    refused = atelier(*command, "--data-dir", folder)
    assert f"Could not write to the data folder {folder}: " in refused.sentence()


def test_a_settings_file_with_nonsense(atelier, tmp_path):
    (tmp_path / "atelier.toml").write_text("steps = 5\n")
    assert "Setting 'steps' is not known" in atelier("models").sentence()
    (tmp_path / "atelier.toml").write_text("port = \n")
    assert "atelier.toml is not valid TOML" in atelier("serve").sentence()


def mounts() -> bool:
    """Whether a private disk can be mounted here."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    probe = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def test_a_disk_that_fills_up_while_pictures_are_made(spawn, data):
    """The data folder is a disk of a few pictures' size."""
    if not mounts():
        pytest.skip("needs root on Linux and unshare")
    data.mkdir()
    script = f'mount -t tmpfs -o size=300k tmpfs {data} && exec "$@"'
    command = ("generate", "a cat", "--steps", 1, "--count", 40)
    full = ended(spawn(*command, before=("unshare", "-m", "sh", "-c", script, "sh")))
    assert full.code == 1, full.out
    assert "Traceback" not in full.err
    *_, last = full.err.splitlines()
    assert last.startswith("atelier: ")
    assert "disk is full" in last
    assert "free some space" in last


def test_an_output_that_has_no_room(atelier, data, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pictures.shutil, "copyfile", full)
    refused = atelier("generate", "a cat", "--steps", 1, "-o", tmp_path / "out.png")
    assert refused.sentence() == (
        f"atelier: Could not copy the picture to {tmp_path / 'out.png'}: the disk is full; "
        "free some space and try again."
    )
    assert len(list((data / "outputs").rglob("*.png"))) == 1, "the picture itself is not lost"


# Serving


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use(atelier, taken):
    refused = atelier("serve", "--port", taken)
    assert f"Could not listen on 127.0.0.1:{taken} (Address already in use)" in refused.sentence()
    assert "choose another --port (ATELIER_PORT)" in refused.err


@pytest.mark.parametrize("host", ["nowhere.invalid", "300.1.2.3", "é..x", "::zz"])
def test_an_address_that_is_not_of_this_machine(atelier, host):
    assert (
        f"Could not listen on {host}:0 " in atelier("serve", "--host", host, "--port", 0).sentence()
    )


@pytest.mark.parametrize("port", ["-1", "70000"])
def test_a_port_that_does_not_exist(atelier, port):
    assert f"Setting port (ATELIER_PORT) is {port}" in atelier("serve", "--port", port).sentence()


def test_a_second_server_on_the_same_data_folder(atelier, data):
    data.mkdir()
    with FileLock(data / "server.lock"):
        refused = atelier("serve", "--port", 0)
    assert f"The data folder {data} is in use by another Atelier; " in refused.sentence()
    assert "(ATELIER_DATA_DIR)" in refused.err


# Models and doctor


def test_models_are_listed_with_what_is_wrong_with_them(atelier, broken, embedded_id):
    listed = atelier("models")
    assert listed.code == 0
    lines = listed.out.splitlines()
    assert lines[0].startswith(f"{embedded_id} ")
    assert lines[1].startswith("broken ")
    assert "! Model folder" in lines[2]
    assert lines[2].endswith("; copy it again.")


def test_models_as_json(atelier, broken, embedded_id):
    listed = {each["id"]: each for each in json.loads(atelier("models", "--json").out)}
    shipped = listed.pop(embedded_id)
    assert shipped["problem"] is None
    assert shipped["bytes"] > 0
    assert Path(shipped["path"]).is_dir()
    assert "is damaged" in listed.pop("broken")["problem"]
    # What is left ships too, and nothing is wrong with it.
    assert {each["problem"] for each in listed.values()} <= {None}


def test_the_doctor_finds_nothing_wrong_on_a_good_machine(atelier, embedded_id):
    found = atelier("doctor")
    assert found.code == 0, found.out
    for topic in ("Atelier", "torch", "settings", "data folder", "disk", "device", "memory"):
        assert f"  {topic} " in found.out
    assert f"{embedded_id}: " in found.out
    assert "FAIL" not in found.out


def test_the_doctor_finds_a_damaged_model(atelier, broken):
    found = atelier("doctor")
    assert found.code == 1
    [failed] = [line for line in found.out.splitlines() if line.startswith("FAIL")]
    assert f"Model folder {broken} is damaged" in failed


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ATELIER_PORT", "many", "Setting port (ATELIER_PORT) is 'many'"),
        ("ATELIER_PROT", "1", "ATELIER_PROT is no setting"),
        ("ATELIER_DEVICE", "cuda:9", "Setting device (ATELIER_DEVICE) is 'cuda:9'"),
        ("ATELIER_DATA_DIR", "/proc/atelier", "Could not write to the data folder /proc/atelier"),
        ("ATELIER_DEFAULT_MODEL", "gone", "Model 'gone' is not installed"),
    ],
)
def test_the_doctor_finds_a_setting_that_would_stop_the_start(
    atelier, monkeypatch, name, value, words
):
    monkeypatch.setenv(name, value)
    found = atelier("doctor")
    assert found.code == 1
    failed = [line for line in found.out.splitlines() if line.startswith("FAIL")]
    assert any(words in line for line in failed), found.out
    assert found.err == ""


def test_the_help_names_every_command(atelier):
    shown = atelier("--help")
    assert shown.code == 0
    for command in ("serve", "generate", "models", "doctor"):
        assert f"  {command} " in shown.out


# Interruption


def test_control_c_takes_the_job_back(spawn, data, tmp_path):
    process = spawn(
        *("generate", "a red apple", "--steps", 20, "--count", 100, "-o", tmp_path / "out.png")
    )
    start = time.monotonic()
    while not list((data / "outputs").rglob("*.png")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - start < 120
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    stopped = ended(process, 30)
    assert stopped.code == 130
    assert "Traceback" not in stopped.err
    assert jobs(data) == ["cancelled"]
    assert not (tmp_path / "out.png").exists()


# Weights


def test_a_pickle_is_converted(atelier, tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "old.ckpt")
    made = atelier("convert", tmp_path / "old.ckpt")
    assert (made.code, made.out) == (0, f"{tmp_path / 'old.safetensors'}\n")
    again = atelier("convert", tmp_path / "old.ckpt")
    assert again.code == 1
    assert "There is a old.safetensors already" in again.err


def test_a_model_is_downloaded(atelier, data, tmp_path, monkeypatch):
    save_file({"lora_down": torch.ones(2)}, tmp_path / "x.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    data_of_it = (tmp_path / "x.safetensors").read_bytes()
    with FakeHub({"someone/style": {"x.safetensors": data_of_it}}) as hub:
        monkeypatch.setattr("studio.services.Hub", lambda root: Hub(root, hub.address))
        made = atelier("download", "someone/style")
        assert made.code == 0, made.err
        assert made.out == "someone/style is here; `atelier models` lists it.\n"
        assert (data / "models" / "x.safetensors").exists()
        again = atelier("download", "someone/none")
    assert again.code == 1
    assert "There is no public model someone/none" in again.err
