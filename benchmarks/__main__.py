"""Run all measurements or the named ones, print a table and write the figures as JSON."""

import argparse
import json
import os
import platform
import time
from pathlib import Path

from benchmarks import (
    api,
    busy,
    editing,
    kills,
    learning,
    memory,
    people,
    per_image,
    reading,
    scaling,
    startup,
    switching,
    training,
    upscaling,
)
from benchmarks.figure import Figure, table

_ALL = {
    "per-image": per_image.measure,
    "editing": editing.measure,
    "startup": startup.measure,
    "memory": memory.measure,
    "upscaling": upscaling.measure,
    "switching": switching.measure,
    "reading": reading.measure,
    "training": training.measure,
    "learning": learning.measure,
    "api": api.measure,
    "kills": kills.measure,
    "busy": busy.measure,
    "people": people.measure,
    "scaling": scaling.measure,
}
_RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(_ALL)}; all by default")
    names = parser.parse_args().names or list(_ALL)
    unknown = set(names) - set(_ALL)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(_ALL)}")
    figures: list[Figure] = []
    for name in names:
        print(f"Measuring {name} …", flush=True)
        figures += _ALL[name]()
    print(table(figures))
    _RESULTS.mkdir(exist_ok=True)
    target = _RESULTS / time.strftime("%Y%m%d-%H%M%S.json")
    machine = {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    rows = [figure.as_row() for figure in figures]
    target.write_text(json.dumps({"machine": machine, "figures": rows}, indent=2))
    print(f"Written to {target}")


if __name__ == "__main__":
    main()
