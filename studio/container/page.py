"""The page that is shown until the studio answers."""

import base64
from pathlib import Path

_ASSETS = Path(__file__).resolve().parents[2] / "assets"


def starting() -> bytes:
    """The page, with the studio's mark in it; it loads nothing from anywhere."""
    icon = (_ASSETS / "theme" / "icon.svg").read_text(encoding="utf-8")
    html = (_ASSETS / "pages" / "starting.html").read_text(encoding="utf-8")
    mark = base64.b64encode(icon.encode()).decode()
    return html.replace("$icon", icon).replace("$mark", mark).encode()
