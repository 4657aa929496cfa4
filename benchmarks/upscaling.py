"""Memory of a 4096x4096 upscale: resampled, by a model, and redrawn in tiles."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

from benchmarks.figure import Figure
from studio.requests import UpscaleRequest
from studio.services import Services, build_services
from studio.settings import Settings

_SIDE, _SCALE = 1024, 4
_LIMIT = 1.5
_WAYS = {
    "lanczos": {"upscaler": "lanczos"},
    "a Real-ESRGAN model": {"upscaler": "compact"},
    "redrawn in tiles": {"strength": 0.34, "steps": 6, "prompt": "a castle", "cfg_scale": 4},
}


def measure() -> list[Figure]:
    """Peak resident memory above idle in GB, models loaded in both, and seconds."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        _save_model(Path(folder) / "models" / "upscalers" / "compact.safetensors")
        services = build_services(Settings(data_dir=Path(folder)))
        try:
            for name, fields in _WAYS.items():
                _job(services, 64, fields)  # loads the model and warms up
                idle = psutil.Process().memory_info().rss
                start = time.monotonic()
                with _peak() as peak:
                    _job(services, _SIDE, fields)
                note = f"{time.monotonic() - start:.0f} s"
                above = (peak[0] - idle) / 1e9
                figures.append(Figure(f"4096x4096, {name}: peak RSS", above, "GB", _LIMIT, note))
        finally:
            services.stop()
    return figures


def _job(services: Services, side: int, fields: dict[str, object]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype="u1")
    picture = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)
    source = services.inputs.add_image(picture).hash
    del picture
    request = UpscaleRequest(source=source, scale=_SCALE, seed=1, **fields)  # type: ignore[arg-type]
    job_id = services.run_now(request)
    (made,) = services.queue.outputs(job_id)
    assert services.outputs.get(made).width == side * _SCALE


def _save_model(path: Path) -> None:
    """Real-ESRGAN's compact network at its usual size, with random weights."""
    torch.manual_seed(0)
    path.parent.mkdir(parents=True)
    save_file(dict(SRVGGNetCompact(upscale=_SCALE).state_dict()), path)


@contextmanager
def _peak() -> Iterator[list[int]]:
    """The most resident bytes while the block runs, looked at every 20 ms."""
    most, ended = [0], threading.Event()

    def look() -> None:
        process = psutil.Process()
        while not ended.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()
