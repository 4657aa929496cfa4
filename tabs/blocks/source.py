"""A picture to work on, dropped, chosen, pasted or sent from another tab: shown with its size."""

import gradio as gr

from tabs.theme import script

_TEMPLATE = """
<div class="at-source" data-scale="SCALE">
  <div class="at-message" role="alert" hidden></div>
  <label class="at-drop"><img alt="" hidden><span class="words">WORDS</span>
    <input type="file" accept="image/*" aria-label="Choose a picture"></label>
</div>
"""


def build(ids: str, words: str, scale: float) -> gr.HTML:
    """Lay the block out; its value names the picture to show by hash.

    ids: what element ids begin with. words: what stands there before there is a picture.
    scale: by what it is going to be enlarged.
    """
    return gr.HTML(
        {},
        html_template=_TEMPLATE.replace("WORDS", words).replace("SCALE", f"{scale:g}"),
        js_on_load=script("source"),
        elem_id=f"{ids}source",
        padding=False,
    )
