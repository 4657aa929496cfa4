"""The device that models run on: found or chosen, with the number format that suits it."""

import json
import logging
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from studio.errors import SettingsError
from studio.models.container import memory_limit

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
Dtype = Literal["float32", "float16", "bfloat16"]
NOTES = "device.json"
"""The file of the data folder that remembers which format was measured to be faster."""

_CPU_SHARE = 0.6
_GPU_SHARE = 0.9
_RESTING_SHARE = 0.5
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "could not create a memory object",
    "MPS backend out of memory",
)
"""What torch, its allocators and oneDNN say when memory is refused outside of CUDA."""


@dataclass(frozen=True)
class Device:
    """Where work runs. name: torch's ("cpu", "cuda:0"); label: for people; dtype: of weights.

    The name of one on another machine tells of that behind it ("cuda:0 on north").
    """

    name: str
    label: str
    dtype: Dtype

    @property
    def sort(self) -> str:
        """The device's type: cpu, cuda, mps or xpu."""
        return self.name.split()[0].partition(":")[0]


@dataclass(frozen=True)
class Memory:
    """Bytes in use and in all, as the whole machine sees them."""

    used: int
    total: int


def choose_device(wanted: str, dtype: str, notes: Path) -> Device:
    """The device that a setting names, or the fastest one that is there for "auto".

    wanted, dtype: values of the settings. notes: file that remembers what was measured,
    so that a restart takes the same number format and makes the same pixels.
    Raises SettingsError when the device is not there.
    """
    name = _find(wanted)
    chosen: Dtype = _automatic_dtype(name, notes) if dtype == "auto" else dtype  # type: ignore[assignment]
    return Device(name, _label(name), chosen)


def memory(device: Device) -> Memory:
    """What the device's memory holds right now."""
    import torch

    if device.sort in ("cuda", "xpu"):
        free, total = getattr(torch, device.sort).mem_get_info(device.name)
        return Memory(total - free, total)
    return main_memory()


def main_memory() -> Memory:
    """What the machine's memory holds right now, or the container's where that has less."""
    machine, limit = psutil.virtual_memory(), memory_limit()
    if limit is not None and limit.total < machine.total:
        used = max(limit.used, limit.total - machine.available)
        return Memory(min(used, limit.total), limit.total)
    return Memory(machine.total - machine.available, machine.total)


def free_memory(device: Device) -> int:
    """Bytes that work on the device can still take."""
    import torch

    now = memory(device)
    free = now.total - now.used
    if device.sort in ("cuda", "xpu"):
        # What torch keeps for itself and does not use is free for torch.
        backend = getattr(torch, device.sort)
        kept = backend.memory_reserved(device.name) - backend.memory_allocated(device.name)
        return int(free + kept)
    return free


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed; only on a GPU is it torch's own class."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def automatic_budget(device: Device) -> int:
    """Bytes that models may hold when no budget is set."""
    share = _GPU_SHARE if device.sort in ("cuda", "xpu") else _CPU_SHARE
    return int(memory(device).total * share)


def automatic_resting_budget() -> int:
    """Bytes that models may hold in main memory while others have the device."""
    return int(main_memory().total * _RESTING_SHARE)


def release_cached(device: Device) -> None:
    """Give memory that nothing uses any more back to the system."""
    import ctypes
    import gc

    import torch

    gc.collect()
    if device.sort in ("cuda", "xpu", "mps"):
        getattr(torch, device.sort).empty_cache()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # not glibc: its allocator needs no help
        return


def _find(wanted: str) -> str:
    import torch

    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    for sort in ("xpu", "cuda"):
        backend = getattr(torch, sort)
        if backend.is_available():
            there = [f"{sort}:{i}" for i in range(backend.device_count())] + there
    if wanted == "auto":
        return there[0]
    name = f"{wanted}:0" if wanted in ("cuda", "xpu") else wanted
    if name not in there:
        raise SettingsError(
            f"Setting device (ATELIER_DEVICE) is {wanted!r}, but this machine has "
            f"{', '.join(there)}; choose one of these or auto."
        )
    return name


def _label(name: str) -> str:
    import torch

    sort = name.partition(":")[0]
    if sort in ("cuda", "xpu"):
        return str(getattr(torch, sort).get_device_name(name))
    threads = torch.get_num_threads()
    return {"cpu": f"CPU, {threads} thread{'s'[: threads > 1]}", "mps": "Apple GPU"}[sort]


def _automatic_dtype(name: str, notes: Path) -> Dtype:
    import torch

    sort = name.partition(":")[0]
    if sort == "cuda":
        major, _ = torch.cuda.get_device_capability(name)
        return "bfloat16" if major >= 8 else "float16"
    if sort == "xpu":
        return "bfloat16"
    if sort == "mps":
        return "float16"
    return cpu_dtype(notes)


def cpu_dtype(notes: Path) -> Dtype:
    """The format that this processor computes faster in; notes: as of choose_device."""
    return _remembered(notes) if cpu_has_bfloat16() else "float32"


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 itself."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _remembered(notes: Path) -> Dtype:
    """The faster format on this CPU, measured once: a second opinion could change the pixels."""
    import torch

    able = torch.backends.cpu.get_cpu_capability()
    if torch.cpu._is_amx_tile_supported():
        able += " AMX"  # which virtual machines on one model of processor have or have not
    key = f"{torch.__version__} {processor()} {able} {torch.get_num_threads()}"
    try:
        known = json.loads(notes.read_text())
    except (OSError, ValueError):
        known = {}
    if not isinstance(known, dict):
        known = {}
    if known.get(key) not in ("float32", "bfloat16"):
        known[key] = faster_cpu_dtype()
        try:
            notes.write_text(json.dumps(known))
        except OSError as error:
            log.warning("The number format will be measured again: %s", error)
    return known[key]


def processor(facts: Path = Path("/proc/cpuinfo")) -> str:
    """Which processor this is: a data folder may move to a machine with another."""
    try:
        told = facts.read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    pairs = dict(
        re.split(r"\s*:\s*", line, maxsplit=1) for line in told.splitlines() if ":" in line
    )
    named = ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part")
    return " ".join(pairs[name] for name in named if pairs.get(name)) or platform.machine()


def faster_cpu_dtype(rounds: int = 7) -> Dtype:
    """Time a convolution and a matrix product in both formats, in turn, and name the faster.

    bfloat16 must win by a tenth, for float32 is the more exact of equals.
    """
    import torch

    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    with torch.inference_mode():
        for _ in range(rounds):
            for dtype in best:
                best[dtype] = min(best[dtype], _trial(dtype))
    return "bfloat16" if best[torch.bfloat16] < 0.9 * best[torch.float32] else "float32"


def _trial(dtype: "torch.dtype") -> float:
    import torch

    pixels = torch.ones(2, 128, 32, 32, dtype=dtype)
    kernel = torch.ones(128, 128, 3, 3, dtype=dtype)
    matrix = torch.ones(512, 512, dtype=dtype)
    start = time.perf_counter()
    torch.nn.functional.conv2d(pixels, kernel, padding=1)
    matrix @ matrix
    return time.perf_counter() - start
