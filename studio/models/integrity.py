"""Whether a model folder is whole, found out from file headers without reading weights."""

import json
import math
import struct
from pathlib import Path

_INDEX = "model_index.json"
_LONGEST_HEADER = 100_000_000
_NONSENSE = (
    OSError,
    ValueError,
    struct.error,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)


def folder_problem(folder: Path) -> str:
    """One sentence on what is missing or damaged in a diffusers folder, or ""."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"Model folder {folder} has no readable {_INDEX} ({error}); copy it again."
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list) or value[0] is None:
            continue
        problem = _component_problem(folder / name, str(value[1]))
        if problem:
            return f"Model folder {folder} is damaged: {problem}; copy it again."
    return ""


def file_problem(path: Path) -> str:
    """What is wrong with a safetensors file, or ""."""
    try:
        start, tensors = _header(path)
        whole = start + max((end for _, end in tensors.values()), default=0)
        return "" if path.stat().st_size == whole else f"{path.name} is cut off"
    except EOFError:
        return f"{path.name} is cut off"
    except _NONSENSE:
        return f"{path.name} is not a safetensors file"


def stored_numbers(folder: Path) -> int:
    """How many numbers the safetensors files of a component hold."""
    return sum(
        numbers for file in folder.glob("*.safetensors") for numbers, _ in _header(file)[1].values()
    )


def _header(path: Path) -> tuple[int, dict[str, tuple[int, int]]]:
    """Where the data starts, and for each tensor how many numbers it has and where it ends.

    Raises EOFError when the file is shorter than its header. Source: the format's description,
    https://huggingface.co/docs/safetensors: eight bytes of little-endian header length, a JSON
    header, then the data that the header's offsets span.
    """
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > min(path.stat().st_size - 8, _LONGEST_HEADER):
            raise EOFError
        header = json.loads(stream.read(length))
    tensors = {
        name: (math.prod(facts["shape"]), int(facts["data_offsets"][1]))
        for name, facts in header.items()
        if name != "__metadata__"
    }
    return 8 + length, tensors


def _component_problem(folder: Path, class_name: str) -> str:
    if not folder.is_dir():
        return f"{folder.name}/ is missing"
    if not _has_weights(class_name):
        # Without files some tokenizers come up empty instead of failing.
        return "" if any(folder.iterdir()) else f"{folder.name}/ is empty"
    if not (folder / "config.json").is_file():
        return f"{folder.name}/config.json is missing"
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return f"{folder.name}/ has no .safetensors weights"
    problems = (file_problem(file) for file in files)
    return next((f"{folder.name}/{problem}" for problem in problems if problem), "")


def _has_weights(class_name: str) -> bool:
    weightless = ("Tokenizer", "TokenizerFast", "Scheduler", "Processor", "Extractor")
    return not class_name.endswith(weightless)
