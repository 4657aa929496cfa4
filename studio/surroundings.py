"""What the doctor looks at beyond the studio: the graphics card, the port, the container."""

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from studio.errors import AtelierError
from studio.finding import BAD, GOOD, NOTE, Finding
from studio.models.container import memory_limit
from studio.password import settled
from studio.settings import Settings

_SMI = ("--query-gpu=name,driver_version,memory.total,memory.used", "--format=csv,noheader,nounits")
_PATIENCE = 15.0
"""Seconds after which a driver that says nothing is taken to hang, as a broken one does."""
_LITTLE_SHARED = 256 * 10**6
_MARKS = (".dockerenv", "run/.containerenv")
_VARIABLES = ("RUNPOD_POD_ID", "KUBERNETES_SERVICE_HOST")


def driver(root: Path = Path("/")) -> Iterator[Finding]:
    """NVIDIA's cards as their driver tells of them, and whether PyTorch can use them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        if (root / "dev/nvidia0").exists() or (root / "proc/driver/nvidia").exists():
            text = "there is a card of NVIDIA, but no nvidia-smi; install its driver again"
            yield Finding(NOTE, "driver", text)
        elif in_container(root):
            text = "no card was given to this container; start it with `--gpus all` to use one"
            yield Finding(NOTE, "driver", text)
        else:
            yield Finding(GOOD, "driver", "no card of NVIDIA")
        return
    try:
        told = subprocess.run(
            [program, *_SMI], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        text = f"nvidia-smi does not answer within {_PATIENCE:.0f} s; restart this machine"
        yield Finding(BAD, "driver", text)
        return
    except OSError as error:
        yield Finding(BAD, "driver", f"nvidia-smi cannot be run ({error.strerror})")
        return
    lines = [line for line in told.stdout.splitlines() if line.count(",") == 3]
    if told.returncode or not lines:
        said = (told.stdout + told.stderr).strip().partition("\n")[0] or f"code {told.returncode}"
        text = f"nvidia-smi finds no card ({said}); restart this machine or renew its driver"
        yield Finding(BAD, "driver", text)
        return
    version = ""
    for line in lines:
        name, version, total, used = (part.strip() for part in line.split(","))
        text = f"{name}, driver {version}"
        if total.isdigit() and used.isdigit():
            text += f", {int(used) / 1024:,.1f} of {int(total) / 1024:,.1f} GiB in use"
        yield Finding(GOOD, "driver", text)
    yield from _torch(version)


def _torch(version: str) -> Iterator[Finding]:
    """Whether this PyTorch can work on cards that are there."""
    import torch

    built = torch.version.cuda
    if built is None:
        text = "PyTorch is a build without CUDA, so the card lies idle; see docs/gpu.md"
        yield Finding(BAD, "CUDA", text)
    elif not torch.cuda.is_available():
        text = (
            f"PyTorch is built for CUDA {built}, which driver {version} does not run; "
            "renew the driver or install a build for an older CUDA, see docs/gpu.md"
        )
        yield Finding(BAD, "CUDA", text)
    else:
        own = torch.cuda.get_arch_list()
        for number in range(torch.cuda.device_count()):
            major, minor = torch.cuda.get_device_capability(number)
            name = f"cuda:{number}, compute capability {major}.{minor}"
            # Code for an older card of the same generation runs on a newer one.
            if any(each.startswith((f"sm_{major}", "compute_")) for each in own):
                yield Finding(GOOD, "CUDA", f"{built} on {name}")
            else:
                text = f"PyTorch {torch.__version__} has no code for {name}; see docs/gpu.md"
                yield Finding(BAD, "CUDA", text)


def port(settings: Settings) -> Iterator[Finding]:
    """Whether the address can be listened on, and whether that would be allowed."""
    shown = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
            probe.listen()
        except OSError as error:
            if _is_studio(settings):
                yield Finding(GOOD, "port", f"a studio answers at {shown} already")
            else:
                text = f"{shown} cannot be had ({error.strerror}); choose another --port"
                yield Finding(BAD, "port", text)
            return
        try:
            settled(settings, probe.getsockname()[0])
        except AtelierError as error:
            yield Finding(BAD, "accounts", str(error))
    yield Finding(GOOD, "port", f"{shown} is free")


def _is_studio(settings: Settings) -> bool:
    near = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    shown = f"[{near}]" if ":" in near else near
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{shown}:{settings.port}/health", timeout=3) as answer:
            return json.load(answer).get("status") in ("ok", "starting")
    except (OSError, ValueError, AttributeError):
        return False


def container(settings: Settings, root: Path = Path("/")) -> Iterator[Finding]:
    """What matters in a container: that the data outlives it, and what it may use."""
    if not in_container(root):
        yield Finding(GOOD, "container", "none")
        return
    folder = settings.data_dir
    kept = any(os.path.ismount(each) for each in (folder, *folder.parents) if each != Path("/"))
    if kept:
        yield Finding(GOOD, "container", f"{folder} is on a volume")
    else:
        text = f"{folder} goes with the container; mount a volume there, as with `-v data:{folder}`"
        yield Finding(NOTE, "container", text)
    if (limit := memory_limit(root)) is not None:
        yield Finding(GOOD, "container", f"it may use {limit.total / 1e9:,.1f} GB of memory")
    try:
        shared = shutil.disk_usage(root / "dev/shm").total
    except OSError:
        shared = 0
    if shared < _LITTLE_SHARED:
        text = (
            f"{shared / 1e6:,.0f} MB of shared memory is little for trainings on several cards; "
            "start it with `--shm-size 2g`"
        )
        yield Finding(NOTE, "container", text)
    if hasattr(os, "getuid") and os.getuid() == 0:
        yield Finding(NOTE, "container", "it runs as root; the image's own user is 1000")


def in_container(root: Path = Path("/")) -> bool:
    """Whether this process is in a container, as its engine leaves traces of."""
    marks = any((root / mark).exists() for mark in _MARKS)
    return marks or any(name in os.environ for name in _VARIABLES)
