"""`atelier backup` beside a server that makes pictures, and a new server on what was restored."""

import time

import httpx
import pytest
from browser.live_server import LiveServer
from command_line import ended

pytestmark = pytest.mark.slow
PICTURE = {"kind": "generate", "prompt": "a red apple", "steps": 2, "width": 64, "height": 64}


def made(client: httpx.Client, count: int) -> list[bytes]:
    """So many pictures, made now."""
    job = client.post("/api/v1/jobs", json=PICTURE | {"batch_count": count}).json()["id"]
    until = time.monotonic() + 120
    while (told := client.get(f"/api/v1/jobs/{job}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < until, told
        time.sleep(0.1)
    assert told["status"] == "finished", told
    return [client.get(f"/outputs/{number}/image").content for number in told["outputs"]]


def test_a_studio_is_kept_while_it_works_and_lives_on_elsewhere(spawn, data, tmp_path):
    (first := tmp_path / "first").mkdir()
    server = LiveServer(first).start()
    kept = tmp_path / "kept.zip"
    try:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            pictures = made(client, 2)
            client.post("/api/v1/jobs", json=PICTURE | {"batch_count": 20})
            done = ended(spawn("backup", kept, "--outputs", "--data-dir", server.data))
            assert done.code == 0, done.err
            assert done.out.startswith(f"{kept}: ")
            refused = ended(spawn("restore", kept, "--data-dir", server.data, "--replace"))
            assert "in use by a server" in refused.sentence()
    finally:
        server.stop()
    restored = ended(spawn("restore", kept))
    assert restored.code == 0, restored.err
    again = ended(spawn("restore", kept))
    assert "--replace" in again.sentence()
    (second := tmp_path / "second").mkdir()
    data.rename(second / "data")
    server = LiveServer(second).start()
    try:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            shown = [client.get(f"/outputs/{number}/image").content for number in (1, 2)]
            assert shown == pictures
            assert made(client, 1)
    finally:
        server.stop()


def test_what_is_no_backup_is_refused_in_a_sentence(spawn, data, tmp_path):
    (letter := tmp_path / "letter.zip").write_text("dear aunt")
    assert "is no backup of Atelier" in ended(spawn("restore", letter)).sentence()
    assert "no studio in" in ended(spawn("backup", tmp_path / "kept.zip")).sentence()
    assert not (data / "atelier.db").exists()
