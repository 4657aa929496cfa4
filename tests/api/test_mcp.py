"""MCP clients use the studio's tools, by the official client, and only with the password."""

import asyncio
import base64
import io
from contextlib import asynccontextmanager

import httpx
import pytest
from browser.live_server import LiveServer
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from studio import cli
from studio.errors import SettingsError
from studio.services import build_services
from tabs import page
from tabs.endpoints import opening

PASSWORD = "open, please"
TOOLS = {"generate", "edit", "answer", "reader_evaluate"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    live = LiveServer(tmp_path_factory.mktemp("mcp"), ATELIER_MCP="true", ATELIER_PASSWORD=PASSWORD)
    try:
        yield live.start()
    finally:
        live.stop()


@asynccontextmanager
async def session(server, headers):
    """A client that has introduced itself."""
    address = f"{server.url}/gradio_api/mcp/"
    async with (
        httpx.AsyncClient(headers=headers, timeout=180) as sender,
        streamable_http_client(address, http_client=sender) as (reads, writes, _),
        ClientSession(reads, writes) as client,
    ):
        await client.initialize()
        yield client


def used(server, work, headers=None):
    """What work does with a client."""

    async def run():
        given = headers or {"Authorization": f"Bearer {PASSWORD}"}
        async with session(server, given) as client:
            return await work(client)

    return asyncio.run(run())


def call(server, name, headers=None, **arguments):
    return used(server, lambda client: client.call_tool(name, arguments), headers)


def shown(result):
    """The picture of an answer."""
    [image] = [part for part in result.content if part.type == "image"]
    return Image.open(io.BytesIO(base64.b64decode(image.data)))


def texts(result):
    return "\n".join(part.text for part in result.content if part.type == "text")


def test_tools_say_what_they_do_and_take(server):
    tools = {each.name: each for each in used(server, lambda client: client.list_tools()).tools}
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert len(tool.description) > 40
        for name, told in tool.inputSchema["properties"].items():
            assert told["description"].endswith("."), (tool.name, name)
    assert tools["generate"].inputSchema["required"] == ["prompt"]
    assert tools["generate"].inputSchema["properties"]["steps"]["type"] == "number"


def test_a_picture_is_made_and_then_changed_by_its_number(server):
    asked = {"width": 64, "height": 64, "steps": 2}
    made = call(server, "generate", prompt="a red apple", seed=5, **asked)
    assert not made.isError, texts(made)
    assert (shown(made).size, shown(made).format) == ((64, 64), "PNG")
    assert "'output': 1" in texts(made)
    changed = call(server, "edit", prompt="a blue car", output=1, strength=0.9)
    assert not changed.isError, texts(changed)
    assert shown(changed).tobytes() != shown(made).tobytes()
    stream = io.BytesIO()
    shown(made).save(stream, "PNG")
    sent = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    again = call(server, "edit", prompt="a blue car", image=sent, strength=0.9)
    assert not again.isError, texts(again)


def test_a_question_is_answered(server):
    told = call(server, "answer", question="Who built the bridge?", text="Ada built the bridge.")
    assert not told.isError
    assert "'answer': 'Ada'" in texts(told)


def test_what_cannot_be_done_is_told_in_a_sentence(server):
    refused = call(server, "generate", prompt="x", steps=500)
    assert refused.isError
    assert "Steps must be less than or equal to 150" in texts(refused)
    assert "Traceback" not in server.log()


def test_no_file_of_the_server_is_read(server, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("The password is old bridge.")
    for path in (str(secret), f"file://{secret}"):
        refused = call(server, "answer", question="What is the password?", file=path)
        assert refused.isError
        assert "old bridge" not in texts(refused)


@pytest.mark.parametrize("path", ["", "/", "/sse", "/schema"])
def test_nobody_without_the_password_is_let_in(server, path):
    address = f"{server.url}/gradio_api/mcp{path}"
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert httpx.get(address, headers=headers).status_code == 401
        assert httpx.post(address, json={}, headers=headers).status_code == 401


def test_the_password_goes_by_basic_too(server):
    both = base64.b64encode(f"anyone:{PASSWORD}".encode()).decode()
    told = used(server, lambda client: client.list_tools(), {"Authorization": f"Basic {both}"})
    assert {each.name for each in told.tools} == TOOLS


def test_the_studios_own_api_has_the_same_guard(server):
    address = f"{server.url}/api/v1/models"
    assert httpx.get(address).status_code == 401
    headers = {"Authorization": f"Bearer {PASSWORD}"}
    assert httpx.get(address, headers=headers).status_code == 200
    told = httpx.get(f"{server.url}/api/v1/openapi.json", headers=headers).json()
    assert {each for one in told["security"] for each in one} == {"bearer", "basic"}
    assert set(told["components"]["securitySchemes"]) == {"bearer", "basic"}


def test_without_the_package_one_sentence_says_what_to_do(settings, monkeypatch):
    monkeypatch.setattr(opening.importlib.util, "find_spec", lambda name: None)
    services = build_services(settings.model_copy(update={"mcp": True}))
    try:
        with pytest.raises(SettingsError, match=r"install atelier\[mcp\] or leave out --mcp\.$"):
            page.build_app(services)
    finally:
        services.stop()


def test_what_hinders_gradio_stops_the_start(settings, monkeypatch):
    def fail(self, blocks):
        raise RuntimeError("another version")

    monkeypatch.setattr("gradio.mcp.GradioMCPServer.__init__", fail)
    services = build_services(settings.model_copy(update={"mcp": True}))
    try:
        with pytest.raises(SettingsError, match="another version"):
            page.build_app(services)
    finally:
        services.stop()


def test_without_the_option_there_are_no_tools(live_server):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}
    address = f"{live_server.url}/gradio_api/mcp/"
    assert httpx.post(address, json=body, headers=accept).status_code in (404, 405)


def test_the_option_is_the_setting():
    taken = []
    cli.build(taken.append)(["serve", "--mcp"], standalone_mode=False)
    cli.build(taken.append)(["serve"], standalone_mode=False)
    assert [settings.mcp for settings in taken] == [True, False]
