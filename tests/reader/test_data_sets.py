"""Data sets by plain names: kept, found, fetched from a server that may lie."""

import gzip
import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from studio.errors import Cancelled, DataError, NotFound
from studio.events import Progress
from studio.reader import data_sets as module
from studio.reader.data_sets import OFFICIAL, DataSets, Official, known_as
from studio.reader_requests import EvaluateRequest, FetchDataRequest
from studio.requests import validated

SMALL = (Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json").read_bytes()


@pytest.fixture
def sets(tmp_path):
    return DataSets(tmp_path)


def test_a_data_set_goes_by_the_name_of_its_file(sets):
    assert sets.add(SMALL, "small-v2.0.json") == "small-v2.0"
    assert sets.names() == ["small-v2.0"]
    assert sets.get("small-v2.0").sha256 == hashlib.sha256(SMALL).hexdigest()


def test_the_same_file_is_kept_once_and_another_gets_a_number(sets):
    assert sets.add(SMALL, "a.json") == sets.add(SMALL, "a.json") == "a"
    assert sets.add(SMALL + b"\n", "a.json") == "a 2"
    assert sets.add(SMALL + b"\n", "a.json") == "a 2"
    assert sets.names() == ["a", "a 2"]


def test_packed_files_are_read_as_they_are(sets):
    assert sets.add(gzip.compress(SMALL), "packed.json.gz") == "packed"
    assert sets.get("packed").sha256 == hashlib.sha256(SMALL).hexdigest()


@pytest.mark.parametrize("name", ["+a+.json", "a+.json", "-a_.json", ".+.json", "ü" * 300])
def test_every_name_can_be_asked_for(sets, name):
    kept = sets.add(SMALL, name)
    assert validated(EvaluateRequest, {"data_set": kept}).data_set == kept


def test_two_files_of_one_name_added_at_once_are_both_kept(sets):
    contents = [SMALL + b" " * n for n in range(8)]
    together = threading.Barrier(len(contents))

    def add(content):
        together.wait()
        sets.add(content, "same.json")

    threads = [threading.Thread(target=add, args=[content]) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sets.path(name).read_bytes() for name in sets.names()) == sorted(contents)


def test_a_file_that_vanishes_is_told_of(sets, monkeypatch):
    sets.add(SMALL, "dev.json")
    path = sets.path("dev")
    monkeypatch.setattr(sets, "path", lambda name: path)
    path.unlink()
    with pytest.raises(NotFound, match="'dev' has just been deleted"):
        sets.get("dev")


@pytest.mark.parametrize("name", ["../../evil.json", "/etc/passwd", "..", "a/../b.json", "\0.json"])
def test_no_name_leads_out_of_the_folder(sets, tmp_path, name):
    kept = sets.add(SMALL, name)
    assert sets.path(kept).parent == tmp_path / "data_sets"
    with pytest.raises(NotFound):
        sets.path(name)


def test_only_squad_is_kept(sets):
    with pytest.raises(DataError, match=r"x\.json is not SQuAD"):
        sets.add(b'{"rows": []}', "x.json")
    with pytest.raises(DataError, match="cannot be unpacked"):
        sets.add(gzip.compress(SMALL)[:-20], "x.json.gz")
    assert sets.names() == []


def test_a_bomb_is_refused(sets, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", 1000)
    with pytest.raises(DataError, match="holds more than"):
        sets.add(gzip.compress(b" " * 2000), "bomb.json.gz")


def test_what_is_gone_is_told_with_what_is_there(sets):
    with pytest.raises(NotFound, match="there are: none yet"):
        sets.get("train")
    sets.add(SMALL, "dev.json")
    sets.remove("dev")
    assert sets.names() == []


def test_official_files_are_known_by_their_sum():
    assert [known_as(each.sha256) for each in OFFICIAL] == [each.name for each in OFFICIAL]
    assert known_as("0" * 64) == ""


def test_the_official_file_is_the_official_one(squad_files):
    content = gzip.decompress((squad_files / "dev-v2.0.json.gz").read_bytes())
    assert known_as(hashlib.sha256(content).hexdigest()) == "dev-v2.0"


class Listener:
    """A context that keeps what it is told; stop: at the first check."""

    job_id = "fetch"

    def __init__(self, stop=False):
        self.events = []
        self._stop = stop

    def emit(self, event):
        self.events.append(event)

    def check(self):
        if self._stop:
            raise Cancelled


@pytest.fixture
def site(monkeypatch):
    """A server with one file, which `OFFICIAL` names."""
    sent = {"content": SMALL}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/dev-v2.0.json" else 404)
            self.send_header("Content-Length", str(len(sent["content"])))
            self.end_headers()
            self.wfile.write(sent["content"])

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(module, "_SITE", f"http://127.0.0.1:{server.server_port}")
    ours = Official("dev-v2.0", hashlib.sha256(SMALL).hexdigest())
    monkeypatch.setattr(module, "OFFICIAL", (ours, *OFFICIAL[1:]))
    yield sent
    server.shutdown()
    server.server_close()
    thread.join()


def wanted(name="dev-v2.0"):
    return validated(FetchDataRequest, {"name": name})


def test_an_official_file_is_fetched_and_compared(sets, site):
    sets.fetch(wanted(), Listener())
    assert sets.path("dev-v2.0").read_bytes() == SMALL
    with pytest.raises(DataError, match="already"):
        sets.fetch(wanted(), Listener())


def test_a_changed_file_is_not_kept(sets, site):
    site["content"] = SMALL + b" "
    with pytest.raises(DataError, match="changed on its way"):
        sets.fetch(wanted(), Listener())
    assert sets.names() == []


def test_a_file_that_is_not_there_is_told(sets, site):
    with pytest.raises(DataError, match="could not be fetched"):
        sets.fetch(wanted("train-v2.0"), Listener())


def test_an_answer_that_is_no_http_is_told(sets, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(module, "_SITE", f"http://127.0.0.1:{server.getsockname()[1]}")

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"no http\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(DataError, match=r"could not be fetched \(no http"):
            sets.fetch(wanted(), Listener())
        thread.join()


def test_a_download_can_be_stopped_and_tells_how_far_it_is(sets, site, monkeypatch):
    with pytest.raises(Cancelled):
        sets.fetch(wanted(), Listener(stop=True))
    assert sets.names() == []
    monkeypatch.setattr(module, "_BLOCK", 1000)
    clock = iter(range(10_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    listener = Listener()
    sets.fetch(wanted(), listener)
    assert {type(event) for event in listener.events} == {Progress}
    assert listener.events[0].seconds_left > 0


def test_a_set_is_found_by_the_sum_of_what_it_holds(sets, tmp_path):
    digest = hashlib.sha256(SMALL).hexdigest()
    assert sets.having(digest) == ""
    sets.add(gzip.compress(SMALL), "packed.json.gz")
    (tmp_path / "data_sets" / "damaged.json.gz").write_bytes(b"\x1f\x8bno gzip")
    assert sets.having(digest) == "packed"
    sets.remove("packed")
    assert sets.having(digest) == ""
