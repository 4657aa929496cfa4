"""The documents name everything that a person can use, and their links lead somewhere."""

import re
from pathlib import Path

import gradio as gr
import pytest
from fastapi.routing import APIRoute
from typer.main import get_command

from studio import cli
from studio.api import account, admin, inputs, login, outputs, reader_files, status, training_files
from studio.api.gate import Gate
from studio.api.sdapi import answers, fields, options
from studio.api.sdapi import routes as sdapi
from studio.api.v1 import routes as v1
from studio.api.v1.asked import KINDS
from studio.api.v1.door import Problem
from studio.api.v1.jobs import JobInfo
from studio.api.v1.models import State
from studio.diffusion.samplers import SAMPLERS
from studio.events import FINAL, TRANSIENT
from studio.requests import Sampler, Schedule
from studio.settings import Settings
from tabs.page import build_page

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def doc(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of all tables."""
    lines = (line.strip() for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_stands_in_its_table_with_its_default(name):
    [row] = [row for row in rows(doc("settings")) if row[0] == f"`{name}`"]
    _, variable, default, meaning = row
    assert variable == f"`ATELIER_{name.upper()}`"
    assert meaning
    told = default.strip("`").replace("empty", "").replace("MB", "000000")
    if name != "data_dir":
        assert told == str(Settings.model_fields[name].default)


def test_no_setting_is_told_of_that_does_not_exist():
    known = {f"ATELIER_{name.upper()}" for name in Settings.model_fields} | {"ATELIER_CONFIG"}
    for page in PAGES:
        assert set(re.findall(r"ATELIER_\w+", page.read_text(encoding="utf-8"))) <= known, page


def test_the_example_of_a_settings_file_is_valid(tmp_path, monkeypatch):
    from studio.settings import load_settings

    [example] = re.findall(r"```toml\n(.*?)```", doc("settings"), re.DOTALL)
    (tmp_path / "atelier.toml").write_text(example)
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert (settings.port, settings.memory_budget) == (8000, 10 * 10**9)


def commands() -> dict[str, object]:
    return get_command(cli.build(lambda settings: None)).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_told_of(name):
    text = doc("commands")
    section = re.search(rf"^## atelier {name}\b.*?(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section, f"there is no section on atelier {name}"
    command = commands()[name]
    # The commands below another one share its section.
    below = getattr(command, "commands", {})
    for word in below:
        assert re.search(rf"`atelier {name} {word}[ `]|\| `{word}[ `]", section[0]), word
    options = [
        option
        for each in (command, *below.values())
        for parameter in each.params  # type: ignore[attr-defined]
        for option in parameter.opts
        if option.startswith("-") and option != "--help"
    ]
    for option in options:
        assert re.search(rf"`{option}[ `]", section[0]), option


def test_every_route_of_ours_is_told_of(services):
    told = re.findall(r"`(GET|POST|PUT|DELETE) (/[^`]*)`", doc("api"))
    routers = [
        api.build_router(services)
        for api in (admin, inputs, outputs, reader_files, status, training_files, sdapi, v1)
    ]
    gate = Gate(services.accounts, "a cookie")
    routers += [login.build_router(gate), account.build_router(gate)]
    ours = [
        (method, route.path)
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    ]
    assert sorted(told) == sorted(ours)


def test_every_field_of_the_answers_is_told_of():
    for model in (status.StatusInfo, outputs.OutputInfo, inputs.InputInfo):
        for name in model.model_fields:
            assert f"`{name}`" in doc("api"), name


def test_what_differs_from_automatic1111_is_told_of():
    named = [*options.Chosen.model_fields, options.MODEL, *answers.TaskAnswer.model_fields]
    for name in (*named, *answers.Refusal.model_fields):
        assert f"`{name}`" in doc("api"), name
    told = re.search(r"Refused, because .*?\n\n", doc("api"), re.DOTALL)
    known = {*fields.TextToImage.model_fields, *fields.ImageToImage.model_fields}
    assert told
    assert set(re.findall(r"`(\w+)`", told[0])) <= known


def test_what_jobs_are_and_take_is_told_of():
    text = doc("api")
    for name in (*KINDS, *JobInfo.model_fields, *State):
        assert f"`{name}`" in text, name
    assert set(Problem.model_fields) <= set(re.findall(r'"(\w+)":', text))
    for event in FINAL + TRANSIENT:
        assert f"`{event.model_fields['type'].default}`" in text, event


def test_every_endpoint_and_its_parameters_are_told_of(services):
    for name, endpoint in build_page(services).get_api_info()["named_endpoints"].items():
        assert f"`{name}`" in doc("api"), name
        for parameter in endpoint["parameters"]:
            assert f"`{parameter['parameter_name']}`" in doc("api"), (name, parameter)


def test_every_tab_has_its_page(services):
    tabs = [b for b in build_page(services).blocks.values() if isinstance(b, gr.Tab)]
    labels = [tab.label for tab in tabs if tab.parent and tab.parent.elem_id == "at-tabs"]
    assert labels
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for label in labels:
        assert doc(label.lower()).startswith(f"# The {label} tab\n")
        assert f"[The {label} tab](docs/{label.lower()}.md)" in readme


@pytest.mark.parametrize("sampler", Sampler)
def test_every_sampler_stands_in_its_table_with_its_schedules(sampler):
    [row] = [row for row in rows(doc("generate")) if row[0] == sampler.value]
    assert row[1] == ", ".join(SAMPLERS[sampler].schedules)
    assert ("at most 50 steps" in row[2]) == (SAMPLERS[sampler].most_steps == 50)


def test_every_schedule_is_told_of():
    assert all(schedule.value in doc("generate") for schedule in Schedule)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [title.lower().replace(" ", "-") for title in titles], link


def test_the_readme_is_short_and_leads_to_every_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") < 90
    for page in PAGES[1:]:
        assert f"(docs/{page.name})" in readme
