"""The page's look: a Gradio theme of system fonts and calm colours, and the files beside it."""

from base64 import b64encode
from pathlib import Path

import gradio as gr

_ASSETS = Path(__file__).resolve().parents[1] / "assets"
ICON = _ASSETS / "theme" / "icon.svg"
VENDOR = _ASSETS / "vendor"
"""Libraries of others that the page loads, each with its licence beside it."""


def css() -> str:
    """The style sheets that go on top of the theme."""
    sheets = ("studio.css", "reader.css", "train.css")
    return "\n".join((_ASSETS / "theme" / each).read_text(encoding="utf-8") for each in sheets)


def script(name: str) -> str:
    """A script of the page or of one of its components."""
    return (_ASSETS / "scripts" / f"{name}.js").read_text(encoding="utf-8")


def icon() -> str:
    """The studio's mark as inline SVG."""
    return ICON.read_text(encoding="utf-8")


def head() -> str:
    """What stands in the head of the page: the mark, for Gradio names none below a root path."""
    mark = b64encode(ICON.read_bytes()).decode()
    return f'<link rel="icon" href="data:image/svg+xml;base64,{mark}">'


def theme() -> gr.themes.Base:
    """Warm greys and one accent, in light and dark."""
    base = gr.themes.Base(
        primary_hue="indigo",
        secondary_hue="stone",
        neutral_hue="stone",
        radius_size="md",
        spacing_size="sm",
        text_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Consolas", "monospace"],
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#141211",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1c1a18",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="#232019",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1c1a18",
        block_border_width="1px",
        block_shadow="none",
        block_label_text_size="*text_sm",
        block_title_text_size="*text_sm",
        block_title_text_weight="500",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#3a352f",
        button_large_text_size="*text_md",
        button_large_text_weight="600",
        button_small_text_weight="500",
        button_border_width="1px",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="#3a352f",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="#a8a29e",
        input_background_fill="*neutral_100",
        input_background_fill_dark="#26231f",
        color_accent="*primary_600",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_dark="#2b2723",
        button_secondary_background_fill_hover_dark="#37322c",
    )
