"""The canvas of the Edit tab: a picture, a mask painted or selected over it, colours on it."""

import gradio as gr

from tabs.theme import script

_TOOLS = (
    ("brush", "Brush (B)", "M4 20c3 0 5-1.5 5-4l8.5-10.5a2 2 0 0 1 3 2.6L11 17"),
    ("eraser", "Eraser (E)", "m5 15 8-9 6 5-8 9H8l-3-3zM8 20h12"),
    (
        "lasso",
        "Lasso (L)",
        "M12 4c5 0 9 2.5 9 6s-4 6-9 6-9-2.5-9-6 4-6 9-6zM7 15c-1 2 0 3.5 2 3.5s1 2-1 2.5",
    ),
    ("polygon", "Polygon (P)", "m12 3 9 7-4 10H7L3 10z"),
    ("rectangle", "Rectangle (R)", "M4 6h16v12H4z"),
    ("ellipse", "Ellipse (O)", "M12 6c5 0 9 2.7 9 6s-4 6-9 6-9-2.7-9-6 4-6 9-6z"),
    ("colour", "Paint colour (C)", "M12 3c4 5 6 7.500 6 11a6 6 0 0 1-12 0c0-3.500 2-6 6-11z"),
    (
        "hand",
        "Move (H, or hold Space)",
        "M12 3v18M3 12h18M12 3 9.500 5.500M12 3l2.500 2.500M12 21l-2.500-2.500M12 21l2.500-2.500",
    ),
)
_ACTS = (
    ("undo", "Undo (Ctrl+Z)", "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6"),
    ("redo", "Redo (Ctrl+Shift+Z)", "m15 7 5 5-5 5M20 12H10a6 6 0 0 0-6 6"),
    ("clear", "Clear the mask (Delete)", "M5 5l14 14M19 5 5 19"),
    ("fill", "Mask everything", "M4 4h16v16H4zM4 12h16M12 4v16"),
    ("invert", "Invert the mask (Ctrl+I)", "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18"),
    ("save", "Download the mask", "M12 4v11m0 0 4-4m-4 4-4-4M5 20h14"),
    ("smaller", "Zoom out (-)", "M5 12h14"),
    ("larger", "Zoom in (+)", "M5 12h14M12 5v14"),
    ("fit", "Show all (0)", "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5"),
)


def _icon(path: str) -> str:
    return (
        '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
        f'stroke-linecap="round" stroke-linejoin="round"><path d="{path}"/></svg>'
    )


def _button(kind: str, name: str, label: str, path: str) -> str:
    pressed = ' aria-pressed="false"' if kind == "tool" else ""
    return (
        f'<button type="button" class="at-icon" data-{kind}="{name}" title="{label}" '
        f'aria-label="{label}"{pressed}>{_icon(path)}</button>'
    )


_TEMPLATE = f"""
<div class="at-editor" role="group" aria-label="Picture and mask">
  <div class="at-message" role="alert" hidden></div>
  <div class="at-bar" role="toolbar" aria-label="Tools">
    {"".join(_button("tool", *tool) for tool in _TOOLS)}
    <label class="at-range">Size <input class="at-brush" type="range" min="1" max="256" value="24"
      aria-label="Brush size"><span class="at-brush-size">24</span></label>
    <input class="at-paint" type="color" value="#dc2626" aria-label="Colour" title="Colour">
    <span class="at-gap"></span>
    {"".join(_button("act", *act) for act in _ACTS)}
    <label class="at-act at-file">Mask from file<input class="at-mask-open" type="file"
      accept="image/*"></label>
  </div>
  <div class="at-board" tabindex="0" role="img" aria-label="Canvas">
    <div class="at-konva"></div>
    <div class="at-empty"><strong>Drop a picture here</strong>
      <label class="at-act at-file">Choose a picture<input class="at-open" type="file"
        accept="image/*"></label>
      <span>or send one from Generate or the Gallery. Then paint over what is to change; without a
      mask all of it changes.</span></div>
    <div class="at-selection" hidden>
      <button type="button" class="at-act" data-act="add">Add to mask</button>
      <button type="button" class="at-act" data-act="subtract">Subtract</button>
      <button type="button" class="at-act" data-act="intersect">Intersect</button>
      <button type="button" class="at-act" data-act="discard">Discard</button>
    </div>
  </div>
  <div class="at-foot"><span class="at-size"></span>
    <label class="at-act at-file at-other">Other picture<input class="at-open" type="file"
      accept="image/*"></label></div>
</div>
"""


def build() -> gr.HTML:
    """Lay the canvas out; its value names the source and mask to show, by their hashes."""
    return gr.HTML(
        {},
        html_template=_TEMPLATE,
        js_on_load=script("mask") + script("canvas"),
        elem_id="at-canvas",
        padding=False,
    )
