"""The examples of docs/api.md do what they say, as they stand there, against a real server."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from browser.live_server import LiveServer

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:7860"
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
OWN = SECTIONS["The studio's own API"]


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    live = LiveServer(tmp_path_factory.mktemp("documented"), ATELIER_MCP="true")
    try:
        yield live.start()
    finally:
        live.stop()


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    """Runs lines of Python that were written for the usual address; what they have named."""
    monkeypatch.chdir(tmp_path)

    def ran(text):
        named = {"__name__": "example"}
        exec(compile(text.replace(ADDRESS, server.url), "docs/api.md", "exec"), named)
        return named

    return ran


def test_those_of_the_studios_own_api_in_python(run, capsys):
    named = run("\n".join(blocks(OWN, "python")))
    assert named["event"]["type"] == "finished"
    assert "progress" in capsys.readouterr().out
    assert named["picture"][1:4] == b"PNG"
    assert named["small"][8:12] == b"WEBP"
    assert named["same"][1:4] == b"PNG"
    assert [each["id"] for each in named["found"]] == [named["output"]]
    assert named["studio"].get(f"jobs/{named['changed']}").json()["kind"] == "edit"
    assert named["usable"]
    assert "lanczos" in named["upscalers"]
    assert named["told"]["answer"] == "Ada"
    assert named["board"]["standings"] == []
    named["studio"].close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_those_of_the_studios_own_api_in_a_shell(server, tmp_path):
    refused = {
        "train": "There is no picture set 'dogs'",
        "evaluate": "There is no data set 'dev-v2.0'",
        "runs": "There is no run 'my-dog'",
    }
    lines = "\n".join(blocks(OWN, "sh")).replace(ADDRESS, server.url)
    done = subprocess.run(
        ["bash", "-e", "-c", re.sub(r"^curl ", "echo; curl -sS ", lines, flags=re.MULTILINE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for words in refused.values():
        assert words in done.stdout
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    problems = [each["detail"] for each in told if "detail" in each]
    assert all(any(words in each for words in refused.values()) for each in problems), problems
    assert "event: finished" in done.stdout
    assert (tmp_path / "apple.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "small.webp").read_bytes()[8:12] == b"WEBP"


def test_those_for_gradio_client(run):
    [text] = blocks(SECTIONS["For gradio_client"], "python")
    named = run(text)
    assert Path(named["picture"]).is_file()
    assert Path(named["changed"]).read_bytes() != Path(named["picture"]).read_bytes()
    assert named["told"]["answer"] == "Ada"
    named["studio"].close()


def test_those_for_mcp_clients(run, capsys):
    [text] = blocks(SECTIONS["For MCP clients"], "python")
    run(text)
    assert "ImageContent" in capsys.readouterr().out
    [settings] = blocks(SECTIONS["For MCP clients"], "json")
    assert json.loads(settings)["mcpServers"]["atelier"]["url"].endswith("/gradio_api/mcp/")
