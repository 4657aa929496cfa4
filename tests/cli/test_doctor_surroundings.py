"""The doctor beyond the studio: cards, port and container."""

import os
import socket
import stat
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch

from studio import surroundings
from studio.settings import Settings

CARD = "NVIDIA GeForce RTX 4090, 580.65.06, 24564, 1024"


def told(findings) -> list[str]:
    return [f"{each.level.value} {each.topic}: {each.text}" for each in findings]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program in the place of NVIDIA's, which says what it is given to."""

    def install(script: str) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.defpath}")

    return install


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The top of a file system without anything of NVIDIA's or of a container's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("RUNPOD_POD_ID", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_card_that_pytorch_cannot_use(smi, monkeypatch):
    smi(f"echo '{CARD}'")
    monkeypatch.setattr(torch.version, "cuda", None)
    good, bad = told(surroundings.driver())
    assert good == (
        "good driver: NVIDIA GeForce RTX 4090, driver 580.65.06, 1.0 of 24.0 GiB in use"
    )
    assert "is a build without CUDA" in bad
    assert bad.startswith("bad")


def test_a_driver_that_is_too_old(smi, monkeypatch):
    smi(f"echo '{CARD}'")
    monkeypatch.setattr(torch.version, "cuda", "99.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    *_, bad = told(surroundings.driver())
    assert bad.startswith("bad CUDA: PyTorch is built for CUDA 99.0, which driver 580.65.06 does")


@pytest.mark.parametrize(
    ("capability", "level"), [((8, 9), "good"), ((12, 0), "good"), ((5, 2), "bad")]
)
def test_cards_that_pytorch_has_code_for(smi, monkeypatch, capability, level):
    smi(f"echo '{CARD}'; echo '{CARD}'")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_86", "sm_120"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: capability)
    *cards, last = told(surroundings.driver())
    assert len(cards) == 2
    assert last.startswith(f"{level} CUDA: ")


def test_a_driver_that_hangs(smi, monkeypatch):
    smi("exec sleep 60")
    monkeypatch.setattr(surroundings, "_PATIENCE", 0.5)
    [found] = told(surroundings.driver())
    assert found.startswith("bad driver: nvidia-smi does not answer within")


@pytest.mark.parametrize("script", ["echo 'Failed to initialize NVML'; exit 18", "true", "exit 9"])
def test_a_driver_that_fails(smi, script):
    smi(script)
    [found] = told(surroundings.driver())
    assert found.startswith("bad driver: nvidia-smi finds no card (")


def test_figures_that_a_card_does_not_tell(smi, monkeypatch):
    smi("echo 'GB10, 580.1, [N/A], [N/A]'")
    monkeypatch.setattr(torch.version, "cuda", None)
    good, _ = told(surroundings.driver())
    assert good == "good driver: GB10, driver 580.1"


def test_no_card(bare):
    assert told(surroundings.driver(bare)) == ["good driver: no card of NVIDIA"]
    (bare / ".dockerenv").touch()
    [found] = told(surroundings.driver(bare))
    assert "start it with `--gpus all`" in found
    (bare / "dev").mkdir()
    (bare / "dev" / "nvidia0").touch()
    [found] = told(surroundings.driver(bare))
    assert "but no nvidia-smi" in found


def test_a_free_port_and_a_taken_one():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        number = other.getsockname()[1]
        other.listen()
        threading.Thread(target=lambda: other.accept()[0].close(), daemon=True).start()
        [found] = told(surroundings.port(Settings(port=number)))
        assert found.startswith(f"bad port: 127.0.0.1:{number} cannot be had (Address already")
    assert told(surroundings.port(Settings(port=number))) == [
        f"good port: 127.0.0.1:{number} is free"
    ]


def test_a_port_at_which_a_studio_answers():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    [found] = told(surroundings.port(Settings(port=server.server_port)))
    server.shutdown()
    server.server_close()
    assert found.startswith("good port: a studio answers at")


def test_accounts_that_are_missing_are_found():
    bad, good = told(surroundings.port(Settings(host="0.0.0.0", port=0, accounts="off")))
    assert bad.startswith("bad accounts: Others can reach this machine")
    assert good.startswith("good port: ")


def test_a_container_whose_data_goes_with_it(bare, monkeypatch):
    settings = Settings(data_dir=bare / "data")
    assert told(surroundings.container(settings, bare)) == ["good container: none"]
    (bare / "run").mkdir()
    (bare / "run" / ".containerenv").touch()
    found = told(surroundings.container(settings, bare))
    assert found[0].startswith(f"note container: {bare / 'data'} goes with the container; mount")
    assert any("little for trainings on several cards" in each for each in found)
    assert any("it runs as root" in each for each in found) == (os.getuid() == 0)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == bare)
    found = told(surroundings.container(settings, bare))
    assert found[0] == f"good container: {bare / 'data'} is on a volume"


def test_the_memory_of_a_container_is_told(bare):
    (bare / ".dockerenv").touch()
    group = bare / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (bare / "proc" / "self").mkdir(parents=True)
    (bare / "proc" / "self" / "cgroup").write_text("0::/\n")
    (group / "memory.max").write_text("8000000000\n")
    (group / "memory.current").write_text("1000\n")
    (group / "memory.stat").write_text("inactive_file 10\n")
    found = told(surroundings.container(Settings(data_dir=bare / "data"), bare))
    assert "good container: it may use 8.0 GB of memory" in found


def test_the_command_tells_of_all(atelier, monkeypatch):
    monkeypatch.setenv("ATELIER_PORT", "0")
    found = atelier("doctor")
    for topic in ("container", "port", "driver"):
        assert f"  {topic} " in found.out
