"""Whether a model folder is whole, found out from file headers without reading weights."""

import json
from pathlib import Path

from studio.models.headers import HeaderError, read_header

_INDEX = "model_index.json"


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
        read_header(path)
    except HeaderError as error:
        return f"{path.name} {error}"
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
    return ""


def stored_numbers(folder: Path) -> int:
    """How many numbers the safetensors files of a component hold."""
    return sum(read_header(file).numbers() for file in folder.glob("*.safetensors"))


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
