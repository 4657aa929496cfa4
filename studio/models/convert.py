"""The way out for pickles: their weights as a safetensors file, read by a process of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from studio.errors import ModelError, from_os_error
from studio.models.drawers import PICKLES
from studio.models.integrity import file_problem

_PROGRAM = Path(__file__).with_name("unpickle.py")
_SECONDS = 1800.0


def convert(source: Path, seconds: float = _SECONDS) -> Path:
    """Write a pickle's weights beside it as .safetensors and return that file's path.

    The pickle itself stays. Raises ModelError when it is none, holds more than weights, or when
    there is such a file already.
    """
    target = source.with_suffix(".safetensors")
    if source.suffix.lower() not in PICKLES:
        raise ModelError(f"{source.name} is no pickle; these are {', '.join(PICKLES)}.")
    if target.exists():
        raise ModelError(f"There is a {target.name} already; move it away first.")
    try:
        with tempfile.TemporaryDirectory(dir=source.parent, prefix=".converting-") as folder:
            made = Path(folder) / target.name
            _run(source, made, seconds)
            if problem := file_problem(made):
                raise ModelError(f"{source.name} could not be converted: {problem}.")
            made.rename(target)
    except OSError as error:
        raise from_os_error(error, f"convert {source.name}") from error
    return target


def _run(source: Path, target: Path, seconds: float) -> None:
    # Isolated: neither the working folder nor variables of the caller decide what is imported.
    command = [sys.executable, "-I", str(_PROGRAM), str(source), str(target)]
    kept = {"PATH", "SYSTEMROOT", "TEMP", "TMP", "LD_LIBRARY_PATH"}
    environment = {name: value for name, value in os.environ.items() if name in kept}
    try:
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{source.name} could not be converted within {seconds / 60:,.0f} minutes."
        ) from None
    if run.returncode:
        said = run.stderr.strip().splitlines()
        reason = said[-1] if said else f"its process ended with {run.returncode}"
        raise ModelError(f"{source.name} could not be converted: it {reason}.")
