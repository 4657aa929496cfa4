"""Fetch the sets of drawings from npm, check their licences and render them.

Makes `art/pictures.npy` (n, 128, 128, 4) uint8 with straight alpha and `art/index.json`, one entry
{set, icon, label} a row. Skin tones, flags, hidden icons and turned aliases are left out.
"""

import json
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from training.embedded.sets import ALLOWED_LICENCES, SETS, ArtSet
from training.embedded.workshop import workshop

SIDE = 128
_TONES = re.compile(r"-(light|medium-light|medium|medium-dark|dark)(-skin-tone)?$")
_FLAGS = re.compile(r"(^|-)flags?(-|$)|^regional-indicator|^keycap")
_NUMBERED = re.compile(r"-\d$")


@dataclass(frozen=True)
class Icon:
    """One drawing of a set; `label` is its name without the number of a further variant."""

    set: str
    icon: str
    label: str


def install(folder: Path) -> Path:
    """Install the packages of all sets at their versions under `folder`; the node_modules."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {art.package: art.version for art in SETS}
    manifest = json.dumps({"private": True, "dependencies": wanted}, indent=1)
    if not (folder / "package.json").is_file() or (folder / "package.json").read_text() != manifest:
        (folder / "package.json").write_text(manifest)
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is missing: install Node.js 20, the sets of drawings come from npm.")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "node_modules"


def icon_names(icons: dict) -> list[str]:
    """The icons of an iconify file that are drawn upright and shown, without tones and flags."""
    names = set(icons["icons"])
    kept = []
    for name, icon in icons["icons"].items():
        toned = _TONES.sub("", name) in names and _TONES.search(name)
        if not (icon.get("hidden") or toned or "skin-tone" in name or _FLAGS.search(name)):
            kept.append(name)
    return sorted(kept)


def svg(icons: dict, name: str) -> str:
    """The icon as a standalone SVG document, made square around its middle."""
    icon = icons["icons"][name]
    left, top = (icon.get(key, icons.get(key, 0)) for key in ("left", "top"))
    width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
    side = max(width, height)
    box = f"{left - (side - width) / 2} {top - (side - height) / 2} {side} {side}"
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {namespaces} viewBox="{box}" width="{SIDE}" height="{SIDE}">{icon["body"]}</svg>'


def render(document: str) -> np.ndarray:
    """An SVG document as (128, 128, 4) uint8 with straight alpha."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=document, width=SIDE, height=SIDE))
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BOX))


def checked_icons(modules: Path, art: ArtSet) -> dict:
    """The set's iconify file; SystemExit when its version or licence is not the expected one."""
    folder = modules / art.package
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    licence = json.loads((folder / "info.json").read_text(encoding="utf-8"))["license"]["spdx"]
    if (package["version"], licence) != (art.version, art.licence):
        raise SystemExit(
            f"{art.package} is version {package['version']} under {licence}, not {art.version} "
            f"under {art.licence}: check it and change sets.py."
        )
    if licence not in ALLOWED_LICENCES:
        raise SystemExit(f"{art.package} is under {licence}; allowed: {ALLOWED_LICENCES}.")
    return json.loads((folder / "icons.json").read_text(encoding="utf-8"))


def collect() -> None:
    """The whole stage; it starts over when it was interrupted, for it takes a minute."""
    folder = workshop() / "art"
    modules = install(workshop() / "npm")
    entries, pictures = [], []
    for art in SETS:
        icons = checked_icons(modules, art)
        names = icon_names(icons)
        for name in names:
            label = _NUMBERED.sub("", name) if art.name == "streamline-emojis" else name
            entries.append(Icon(art.name, name, label))
            pictures.append(render(svg(icons, name)))
        print(f"{art.name} {art.version}, {art.licence}: {len(names)} drawings", flush=True)
    folder.mkdir(exist_ok=True)
    np.save(folder / "pictures.npy", np.stack(pictures))
    text = json.dumps([asdict(entry) for entry in entries], indent=0)
    (folder / "index.json").write_text(text, encoding="utf-8")


def load_art() -> tuple[list[Icon], np.ndarray]:
    """What `collect` made: the icons and their pictures, mapped from disk."""
    folder = workshop() / "art"
    if not (folder / "index.json").is_file():
        raise SystemExit("There is no art yet: run python -m training.embedded collect first.")
    entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return [Icon(**entry) for entry in entries], np.load(folder / "pictures.npy", mmap_mode="r")
