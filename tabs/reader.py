"""The Reader tab: questions on a text, readers scored, ranked and trained, and their data."""

from dataclasses import dataclass

import gradio as gr

from studio.services import Services
from tabs.blocks import ask, benchmark, board, data_view, tuning
from tabs.blocks.maker import QUIET


@dataclass(frozen=True)
class ReaderView:
    """Components of the tab; each panel has its own."""

    reader: gr.Dropdown
    ask: ask.Ask
    ask_tab: gr.Tab
    benchmark: benchmark.Benchmark
    benchmark_tab: gr.Tab
    board: board.Board
    board_tab: gr.Tab
    tuning: tuning.Tuning
    tuning_tab: gr.Tab
    data: data_view.DataView
    data_tab: gr.Tab


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
        with gr.Tab("Ask", id="ask") as ask_tab:
            asking = ask.build(services, reader)
        with gr.Tab("Benchmark", id="benchmark") as benchmark_tab:
            scoring = benchmark.build(services)
        with gr.Tab("Leaderboard", id="leaderboard") as board_tab:
            ranking = board.build()
        with gr.Tab("Fine-tune", id="fine-tune") as tuning_tab:
            learning = tuning.build()
        with gr.Tab("Data sets", id="data-sets") as data_tab:
            looking = data_view.build()
    return ReaderView(
        reader,
        asking,
        ask_tab,
        scoring,
        benchmark_tab,
        ranking,
        board_tab,
        learning,
        tuning_tab,
        looking,
        data_tab,
    )


def choices(services: Services) -> list[tuple[str, str]]:
    """Readers that can be used, as (name, id)."""
    return [(entry.id, entry.id) for entry in services.readers.entries() if not entry.problem]


def wire(view: ReaderView, services: Services, tab: gr.Tab) -> None:
    """Connect the panels; tab: the Reader tab itself."""
    ask.wire(view.ask, services)
    scoring = benchmark.wire(view.benchmark, services, view.benchmark_tab)
    board.wire(view.board, services, view.board_tab, scoring.report)
    tuning.wire(view.tuning, services, view.tuning_tab)
    data_view.wire(view.data, services, view.data_tab)

    def refresh() -> gr.Dropdown:
        return gr.Dropdown(choices(services))

    for each in (tab, view.ask_tab):  # one may have been trained or fetched meanwhile
        each.select(refresh, None, [view.reader], **QUIET)
