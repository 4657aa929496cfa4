"""What a browser sends to the page's handlers."""

from typing import Any

import gradio as gr

from tabs.blocks.maker import MakerView


def sent(**data: Any) -> gr.EventData:
    """An event of a component of ours with the data that the browser put into it."""
    return gr.EventData(None, data)


def defaults(view: MakerView, **changes: Any) -> dict[Any, Any]:
    """What the form's controls say at first, by component, with some of them changed."""
    values = {component: component.value for component in view.form.fields.values()}
    values |= {view.form.fields[name]: value for name, value in changes.items()}
    return values | {view.jobs: None}
