"""A full disk and a read-only one: one sentence, nothing half-written, and the server goes on."""

import errno
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sample_pictures import picture

from studio.errors import StorageError, from_os_error

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@functools.cache
def why_no_mounts() -> str:
    """Why a private disk cannot be mounted here, or ""."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return "needs root on Linux and the command unshare"
    probe = subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, text=True
    )
    return probe.stderr.strip()


def on_disk(folder: Path, options: str, *command: str) -> subprocess.CompletedProcess:
    """Run a Python script where `folder` is a disk of its own; it is gone with the process."""
    if reason := why_no_mounts():
        pytest.skip(reason)
    folder.mkdir(exist_ok=True)
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", options, str(folder), sys.executable, *command],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("size", ["1500k", "2000k", "3000k"])
def test_a_disk_that_fills_up_fails_the_job_and_nothing_else(tmp_path, size):
    run = on_disk(
        tmp_path / "data", f"size={size}", str(HERE / "full_disk.py"), str(tmp_path / "data"), "40"
    )
    assert run.returncode == 0, run.stderr
    story = json.loads(run.stdout)
    first, *others = story["rows"]
    status, reason, saved = first
    assert status == "failed"
    assert "full" in reason
    assert "free some space" in reason
    assert saved >= 3
    assert story["events"][0][-1] == "failed"
    for status, reason, _ in others[:-1]:
        assert status == ("failed" if reason else "cancelled")
        assert "full" in (reason or "full")
    assert "full" in story.get("refused", "full")
    assert story["total"] == story["files"], "every file has its row, every row its file"
    assert story["whole"], "no file is cut off"
    assert story["left over"] == []
    assert others[-1] == ["finished", "", 2], "with room again, work goes on"
    assert story["running"] == 0, "no job is left as running for ever"
    assert "stop" not in story


def test_a_disk_without_room_for_the_database_stops_the_start(tmp_path):
    code = (
        "import pathlib, sys; from studio.errors import StorageError;"
        "from studio.services import build_services; from studio.settings import Settings;"
        "folder = pathlib.Path(sys.argv[1]);"
        "(folder / 'ballast').write_bytes(bytes(24 * 1024));"
        "settings = Settings(data_dir=folder / 'data')\n"
        "try: build_services(settings)\n"
        "except StorageError as error: print(error)\n"
        "else: print('started')"
    )
    run = on_disk(tmp_path / "disk", "size=40k", "-c", code, str(tmp_path / "disk"))
    assert run.returncode == 0, run.stderr
    assert "the disk is full" in run.stdout
    assert run.stdout.count("\n") == 1


def test_a_read_only_disk_stops_the_start(tmp_path):
    code = (
        "import pathlib, sys; from studio.errors import StorageError;"
        "from studio.services import build_services; from studio.settings import Settings\n"
        "try: build_services(Settings(data_dir=pathlib.Path(sys.argv[1]) / 'data'))\n"
        "except StorageError as error: print(error)\n"
        "else: print('started')"
    )
    run = on_disk(tmp_path / "disk", "ro,size=1m", "-c", code, str(tmp_path / "disk"))
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == (
        f"Could not write to the data folder {tmp_path}/disk/data: the file system is read-only; "
        "choose another data folder (ATELIER_DATA_DIR)."
    )


# The same by injection, for machines where nothing can be mounted


class Reluctant:
    """A stream that takes some bytes and then refuses."""

    def __init__(self, stream, error):
        self._stream = stream
        self._error = error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()

    def write(self, data):
        self._stream.write(data[:5])
        raise self._error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_write_that_fails_half_way_leaves_nothing(
    outputs, job_id, tmp_path, monkeypatch, code, words
):
    real = Path.open

    def open_reluctantly(self, mode="r", *args, **kwargs):
        stream = real(self, mode, *args, **kwargs)
        return Reluctant(stream, OSError(code, os.strerror(code))) if mode == "xb" else stream

    monkeypatch.setattr(Path, "open", open_reluctantly)
    with pytest.raises(StorageError, match=words) as caught:
        outputs.save(job_id, picture())
    assert str(tmp_path) in str(caught.value)
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.png"))
    assert outputs.page(0, 1).total == 0
    assert outputs.path(outputs.save(job_id, picture())).name.startswith("00001-")


def test_a_thumbnail_that_cannot_be_written_does_not_lose_the_picture(
    outputs, job_id, tmp_path, monkeypatch
):
    def refuse(self, data):
        self.touch()
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    output_id = outputs.save(job_id, picture())
    with pytest.raises(StorageError, match="disk is full"):
        outputs.thumbnail(output_id)
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.part"))
    assert outputs.thumbnail(output_id).is_file()


def test_a_refusal_of_the_system_that_nobody_foresaw_is_a_sentence_too():
    for error in (OSError(errno.ELOOP, "Too many levels"), OSError("strange"), OSError()):
        message = str(from_os_error(error, "save the picture"))
        assert message.startswith("Could not save the picture: ")
        assert message.endswith(".")
