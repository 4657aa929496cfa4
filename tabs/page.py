"""The whole page: header, tabs, and the web application that serves them."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

# Gradio would otherwise ask other hosts, sum up its own statistics after every event, and keep
# those of ten thousand events.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"  # it can neither tell how far a download is nor stop
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "100"

import gradio as gr
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from gradio.routes import App

from studio import __version__
from studio.api import admin, doors, inputs, outputs, reader_files, status, training_files
from studio.api.sdapi import routes as sdapi
from studio.api.v1 import routes as v1
from studio.models.library import READER
from studio.password import has_accounts
from studio.people import HOME, acting_as
from studio.services import Services
from tabs import edit, endpoints, extras, gallery, generate, models, reader, taking, train
from tabs.asking import Page
from tabs.belongings import Belonging
from tabs.blocks import header, sharing
from tabs.blocks.maker import QUIET
from tabs.blocks.train.following import FollowHandlers
from tabs.blocks.train.gridding import chosen as chosen_cell
from tabs.endpoints.opening import check_mcp, check_served
from tabs.theme import ICON, VENDOR, css, head, script, theme


def build_page(services: Services) -> Page:
    """All components first, then all wiring."""
    with Page(title="Atelier", analytics_enabled=False, fill_width=True) as page:
        top = header.build(services)
        with gr.Tabs(elem_id="at-tabs") as tabs:
            with gr.Tab("Generate", id="generate"):
                generate_view = generate.build(services, top.model)
            with gr.Tab("Edit", id="edit"):
                edit_view = edit.build(services, top.model)
            with gr.Tab("Extras", id="extras"):
                extras_view = extras.build(services, top.model)
            with gr.Tab("Train", id="train") as train_tab:
                train_view = train.build(services)
            everybody = acting_as(header.for_whom(services))
            with gr.Tab("Reader", id="reader") as reader_tab, everybody:
                reader_view = reader.build(services)
            with gr.Tab("Gallery", id="gallery") as gallery_tab:
                gallery_view = gallery.build()
            with gr.Tab("Models", id="models") as models_tab:
                models_view = models.build()
        endpoints.build(services)
        for view in (generate_view, edit_view, extras_view):
            view.saved.render()
        making = generate.wire(generate_view, services, page)
        editing = edit.wire(edit_view, services, page)
        enlarging = extras.wire(extras_view, services, page)
        training = train.wire(train_view, services, train_tab)
        reader.wire(reader_view, services, reader_tab)
        gallery.wire(gallery_view, services, gallery_tab)
        header.wire(services, page, top.model, train_view.launcher.form.fields["model"])
        keeping = models.wire(models_view, services, models_tab, top.model)

        begin = [
            *(each.prompts.run for each in (generate_view, edit_view, extras_view)),
            *(train_view.launcher.start, reader_view.ask.ask),
            *(reader_view.tuning.start, reader_view.benchmark.score),
        ]
        sharing.rest_for_viewers(begin, services, page)

        words = generate_view.prompts
        in_generate = [*generate_view.form.outputs, generate_view.size.presets, words.examples]

        def to_use(picked: models.Picked, prompt: str) -> list[object]:
            if picked and picked[0] == READER:
                chosen = gr.Dropdown(reader.choices(services), value=picked[1])
                return [*(gr.skip() for _ in in_generate), chosen, gr.Tabs(selected="reader")]
            used = making.use(*keeping.use(picked, prompt))
            return [*used, gr.skip(), gr.Tabs(selected="generate")]

        models_view.use.click(
            to_use,
            [models_view.picked, words.prompt],
            [*in_generate, reader_view.reader, tabs],
            **QUIET,
        ).success(None, None, None, js="() => window.scrollTo({ top: 0 })")

        _wire_trained(train_view, training, making, top.model, words.prompt, [*in_generate, tabs])

        def to_generate(event: gr.EventData) -> list[object]:
            return [*making.use_settings(event), gr.Tabs(selected="generate")]

        def to_edit(event: gr.EventData) -> list[object]:
            return [*editing.receive(event), gr.Tabs(selected="edit")]

        def to_extras(event: gr.EventData) -> list[object]:
            return [*enlarging.receive(event), gr.Tabs(selected="extras")]

        gallery_view.detail.use_settings(
            to_generate, None, [*generate_view.form.outputs, tabs], **QUIET
        )
        in_edit = [edit_view.canvas, *edit_view.form.outputs, tabs]
        in_extras = [extras_view.source, *extras_view.form.outputs, tabs]
        stages = (generate_view.stage, edit_view.stage, extras_view.stage)
        for place in (gallery_view.detail, *stages):
            if place is not edit_view.stage:  # there the tab itself takes it
                place.edit(to_edit, None, in_edit, **QUIET)
            place.upscale(to_extras, None, in_extras, **QUIET)
    return page


def _wire_trained(
    view: train.TrainView,
    training: FollowHandlers,
    making: generate.Handlers,
    model: gr.Dropdown,
    prompt: gr.Textbox,
    filled: list[Any],
) -> None:
    """One press takes what a run has made to the Generate tab."""

    def to_use_trained(
        subject: str, model: str, prompt: str, step: int | None, strength: float = 1.0
    ) -> list[object]:
        chosen, text = training.use(subject, model, prompt, step, strength)
        if chosen:
            given = {"prompt": text} if text else {}
            used = making.choose_model(chosen, model=chosen, **given)
        else:
            used = making.use("", text)
        return [*used, gr.Tabs(selected="generate")]

    def to_use_cell(subject: str, model: str, prompt: str, event: gr.EventData) -> list[object]:
        cell = chosen_cell(event)
        return to_use_trained(subject, model, prompt, *cell) if cell else [gr.skip()] * len(filled)

    subject, up = view.launcher.subject, "() => window.scrollTo({ top: 0 })"
    used = view.launcher.use.click(
        to_use_trained, [subject, model, prompt, view.launcher.step], filled, **QUIET
    )
    of_cell = view.launcher.grid.shown.act(to_use_cell, [subject, model, prompt], filled, **QUIET)
    for each in (used, of_cell):
        each.success(None, None, None, js=up)


@contextmanager
def _without_own_app() -> Iterator[None]:
    """Keep Gradio from making applications of a page that is not complete, to throw them away.

    It makes one when a page is begun and one when it is built, each with all its routes, which is a
    fifth of the work until the page is there; `queue` and mounting make those that are used.
    """
    own = App.create_app
    App.create_app = staticmethod(lambda *_, **__: None)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        App.create_app = staticmethod(own)  # type: ignore[method-assign]


def build_app(services: Services) -> FastAPI:
    """The web application; its start takes up the queue and warms up.

    SettingsError when it is to serve MCP clients and cannot.
    """
    check_mcp(services.settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with acting_as(HOME, ""):
            services.start()
        yield

    # Without FastAPI's own pages of documentation: they load their scripts from another host.
    app = FastAPI(
        title="Atelier", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.include_router(outputs.build_router(services))
    app.include_router(inputs.build_router(services))
    app.include_router(reader_files.build_router(services))
    app.include_router(status.build_router(services))
    app.include_router(training_files.build_router(services))
    app.include_router(sdapi.build_router(services))
    app.include_router(v1.build_router(services))
    app.include_router(admin.build_router(services))
    with _without_own_app():
        page = build_page(services)
    if has_accounts(services.settings):
        app.add_middleware(Belonging, belongings=page.belongings)
    doors.close(app, services)
    app.mount("/vendor", StaticFiles(directory=VENDOR), name="vendor")
    # Only after its own launch(), which a mounted page never has, does Gradio check that a file
    # which a client names by a path was uploaded here.
    page.has_launched = True
    page.queue(default_concurrency_limit=None, api_open=False)
    mounted = gr.mount_gradio_app(
        app,
        page,
        path="/",
        root_path=services.settings.root_path or None,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=services.settings.mcp,
        enable_monitoring=False,
        show_error=True,
        max_file_size=services.settings.max_upload or None,
        favicon_path=str(ICON),
        head=head(),
        theme=theme(),
        css=css(),
        js=script("page"),
    )
    check_served(page)
    taking.bound(mounted)
    return mounted
