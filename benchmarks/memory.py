"""Memory of the process after 1, 50 and 200 pictures."""

import tempfile
from pathlib import Path

import psutil

from benchmarks.figure import Figure
from studio.requests import GenerationRequest
from studio.services import build_services
from studio.settings import Settings

_MARKS = (1, 50, 200)


def measure() -> list[Figure]:
    """Resident memory in MB at each mark, and the growth from 50 to 200 in per cent."""
    resident = {}
    with tempfile.TemporaryDirectory() as folder:
        services = build_services(Settings(data_dir=Path(folder)))
        try:
            for number in range(1, _MARKS[-1] + 1):
                prompt = f"a red apple, number {number}"
                services.run_now(GenerationRequest(prompt=prompt, seed=number, steps=6))
                if number in _MARKS:
                    resident[number] = psutil.Process().memory_info().rss / 1e6
        finally:
            services.stop()
    figures = [Figure(f"memory after {n} pictures", resident[n], "MB") for n in _MARKS]
    growth = 100 * (resident[200] / resident[50] - 1)
    return [*figures, Figure("memory growth, 50 to 200 pictures", growth, "%", 3)]
