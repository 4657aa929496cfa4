"""The Reader tab: questions on a text, and readers scored."""

from dataclasses import dataclass

import gradio as gr

from studio.services import Services
from tabs.blocks import ask, benchmark
from tabs.blocks.maker import QUIET


@dataclass(frozen=True)
class ReaderView:
    """Components of the tab; each panel has its own."""

    reader: gr.Dropdown
    ask: ask.Ask
    benchmark: benchmark.Benchmark
    benchmark_tab: gr.Tab


def build(services: Services) -> ReaderView:
    """Lay the tab out."""
    found = choices(services)
    reader = gr.Dropdown(
        found,
        value=found[0][1] if found else "",
        label="Reader",
        render=False,
        allow_custom_value=True,  # one may have come after the list was made; it is checked
        elem_id="at-reader-model",
    )
    with gr.Tabs(elem_id="at-reader-tabs"):
        with gr.Tab("Ask", id="ask"):
            asking = ask.build(services, reader)
        with gr.Tab("Benchmark", id="benchmark") as benchmark_tab:
            scoring = benchmark.build(services)
    return ReaderView(reader, asking, scoring, benchmark_tab)


def choices(services: Services) -> list[tuple[str, str]]:
    """Readers that can be used, as (name, id)."""
    return [(entry.id, entry.id) for entry in services.readers.entries() if not entry.problem]


def wire(view: ReaderView, services: Services, tab: gr.Tab) -> None:
    """Connect the panels; tab: the Reader tab itself."""
    ask.wire(view.ask, services)
    benchmark.wire(view.benchmark, services, view.benchmark_tab)

    def refresh() -> gr.Dropdown:
        return gr.Dropdown(choices(services))

    tab.select(refresh, None, [view.reader], **QUIET)
