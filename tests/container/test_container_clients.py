"""Programs that work with a studio behind its password."""

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import PASSWORD, Container
from gradio_client import Client, handle_file
from gradio_client.exceptions import AuthenticationError


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A studio that ends itself when nobody has used it for some seconds."""
    folder = tmp_path_factory.mktemp("studio")
    container = Container(
        folder,
        (),
        {
            "ATELIER_IDLE_STOP_MINUTES": "0.2",
            "ATELIER_IDLE_COMMAND": f"touch {folder}/ended",
            "ATELIER_LOG_FORMAT": "json",
        },
    )
    container.wait(container.is_up)
    yield container
    if container.process.poll() is None:
        container.end(signal.SIGKILL)


def test_gradios_client_reads_uploads_and_streams_by_its_own_login(studio, tmp_path: Path):
    address = f"http://127.0.0.1:{studio.port}"
    with pytest.raises(AuthenticationError):
        Client(address, auth=("admin", "not it at all"), verbose=False)
    client = Client(address, auth=("admin", PASSWORD), verbose=False)
    (tmp_path / "text.txt").write_text("Ada built the bridge in 1843.")
    told = client.predict(
        question="Who built the bridge?",
        file=handle_file(tmp_path / "text.txt"),
        api_name="/answer",
    )
    assert told["answer"] == "Ada"


def test_prometheus_reads_the_figures_with_a_bearer(studio):
    asked = urllib.request.Request(
        f"http://127.0.0.1:{studio.port}/metrics", headers={"Authorization": f"Bearer {PASSWORD}"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        text = answer.read().decode()
    assert 'atelier_http_responses_total{status="401"}' in text
    assert "atelier_log_lines_total" in text
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{studio.port}/metrics", timeout=30)


def test_then_it_ends_itself_in_order(studio, tmp_path: Path):
    """Nobody uses it any more: what only watches it does not count."""
    studio.process.wait(120)
    assert studio.process.returncode == 0, studio.log
    assert (studio.data.parent / "ended").exists()
    lines = [line for line in studio.log.splitlines() if not line.startswith("Atelier is at")]
    told = [json.loads(line) for line in lines]
    assert any("Nobody has used the studio for" in line["message"] for line in told)
    assert PASSWORD not in studio.log
    assert (studio.data / "atelier.db").is_file()
