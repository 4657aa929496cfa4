"""The image: checked by a linter, and its steps done in their order in a clean folder."""

import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from containers import PASSWORD, ROOT, free_port
from dockerfile import House, context, environment, lineage, read

from studio.settings import Settings

STAGES = read(ROOT / "Dockerfile")
INDEX = "https://pypi.org/simple/pip/"


def tool(name: str) -> str:
    """A program of the development environment; where it cannot be installed, a reason to skip."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    if (found := shutil.which(name, path=path)) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed; it is part of atelier[test].")
        pytest.skip(f"{name} is not installed; it is part of atelier[test].")
    return found


def test_the_linter_finds_nothing():
    run = subprocess.run(
        [tool("hadolint"), "--no-color", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "")


def test_the_linter_would_find_something(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && apt-get install curl\n")
    run = subprocess.run([tool("hadolint"), str(tmp_path / "Dockerfile")], capture_output=True)
    assert run.returncode != 0


def test_who_the_image_is_and_what_it_promises():
    [last] = [stage for stage in STAGES.values() if stage is list(STAGES.values())[-1]]
    assert last.name == "studio", "what `docker build` makes when nothing else is said"
    words = {step.word: step for stage in lineage(STAGES, "studio") for step in stage.steps}
    assert words["USER"].rest == "1000:1000"
    assert words["ENTRYPOINT"].arguments()[:2] == ["tini", "--"]
    assert words["STOPSIGNAL"].rest == "SIGTERM"
    assert words["EXPOSE"].rest == str(Settings.model_fields["port"].default)
    assert words["VOLUME"].rest == environment(STAGES, "studio")["ATELIER_DATA_DIR"]
    assert lineage(STAGES, "studio")[0].base.startswith("nvidia/cuda:")


def test_what_changes_often_stands_behind_what_takes_long():
    steps = STAGES["dependencies"].steps
    copied = [s.arguments()[:-1] for s in steps if s.word == "COPY" and not s.options()]
    assert copied == [["pyproject.toml", "constraints.txt"]], "or every change would fetch all anew"


@pytest.mark.parametrize("stage", ["studio", "runpod"])
def test_all_settings_of_the_image_are_settings(stage):
    given = {k: v for k, v in environment(STAGES, stage).items() if k.startswith("ATELIER_")}
    Settings(**{name.removeprefix("ATELIER_").lower(): value for name, value in given.items()})
    assert given["ATELIER_HOST"] == "0.0.0.0"


def test_compose_says_what_the_image_expects():
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    [service] = composed["services"].values()
    given = dict(service["environment"])
    assert "?" in given.pop("ATELIER_PASSWORD"), "there is no start without a password"
    settings = Settings(**{k.removeprefix("ATELIER_").lower(): v for k, v in given.items()})
    grace = float(service["stop_grace_period"].removesuffix("s"))
    assert grace > settings.stop_seconds
    [volume] = service["volumes"]
    assert volume.endswith(f":{environment(STAGES, 'studio')['ATELIER_DATA_DIR']}")
    [port] = service["ports"]
    assert port.endswith(":7860")
    assert service["build"]["target"] in STAGES


def test_the_template_for_runpod_fits_its_image():
    template = json.loads((ROOT / "runpod" / "template.json").read_text())
    given = environment(STAGES, "runpod")
    assert given["ATELIER_DATA_DIR"].startswith(template["volumeMountPath"] + "/")
    assert template["ports"] == ["7860/http"]
    fields = {k.removeprefix("ATELIER_").lower(): v for k, v in template["env"].items()}
    assert Settings(**fields).idle_stop_minutes > 0
    module = given["ATELIER_IDLE_COMMAND"].split()[-1]
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_only_what_the_image_needs_is_sent_to_the_builder():
    copied = {
        name
        for stage in STAGES.values()
        for step in stage.all("COPY")
        if "from" not in step.options()
        for name in step.arguments()[:-1]
    }
    assert copied == context(ROOT)


@pytest.mark.slow
def test_the_steps_in_their_order_make_a_studio_that_runs(tmp_path):
    """All but what needs an image: packages of the system, and gigabytes of CUDA."""
    uv = tool("uv")
    try:
        urllib.request.urlopen(INDEX, timeout=20).close()
    except (OSError, urllib.error.URLError) as error:
        pytest.skip(f"the package index cannot be reached: {error}")
    house = House(tmp_path, ROOT, ("/opt", "/build", "/wheels", "/data"))
    build = tmp_path / "build"
    outside = {
        name: os.environ[name]
        for name in ("SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy", "UV_CACHE_DIR", "PIP_CERT")
        if name in os.environ
    }
    outside |= {"HOME": str(tmp_path / "home"), "PATH": f"{Path(uv).parent}:{os.defpath}"}
    outside.setdefault("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    for name in ("dependencies", "program"):
        told = environment(STAGES, name) | {"UV_PYTHON_PREFERENCE": "only-system"}
        given = {k: house.inside(v) for k, v in told.items()} | outside
        for step in STAGES[name].steps:
            if step.word == "COPY" and not step.options():
                house.copy(step, build)
            elif step.word == "RUN":
                # What it would fetch is found out, and is what the constraints name.
                command = step.rest.replace("pip install", "pip install --dry-run")
                command = command.replace("--python 3.11", f"--python {sys.executable}")
                printed = house.run(command, build, given)
                if "dry-run" in command:
                    _as_constrained(printed)
    studio = tmp_path / "opt" / "atelier"
    _lend_dependencies(studio)
    command = f"{uv} pip install --offline --no-deps {tmp_path}/wheels/*.whl"
    house.run(command, build, outside | {"VIRTUAL_ENV": str(studio), "UV_COMPILE_BYTECODE": "1"})
    _runs(house, studio)


def _as_constrained(printed: str) -> None:
    """What would be installed is what the constraints say."""
    wanted = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    found = dict(re.findall(r"^ \+ (\S+)==(\S+)$", printed, re.MULTILINE))
    assert len(found) > 50, printed
    assert {name: found[name] for name in found.keys() & wanted.keys()} == {
        name: wanted[name] for name in found.keys() & wanted.keys()
    }
    assert any(name.startswith("nvidia-") for name in found), "with CUDA's own libraries"


def _lend_dependencies(studio: Path) -> None:
    """Let the new environment see the packages of this one, but not the studio in it."""
    [packages] = (studio / "lib").glob("python3*/site-packages")
    [own] = [path for path in site.getsitepackages() if path.endswith("site-packages")][:1]
    (packages / "lent.pth").write_text(own)


def _runs(house: House, studio: Path) -> None:
    """Start it as the image would, look at it, and end it."""
    port = free_port()
    given = {k: house.inside(v) for k, v in environment(STAGES, "studio").items()}
    given |= {
        "PATH": f"{studio}/bin:{os.defpath}",
        "PORT": str(port),
        "ATELIER_PASSWORD": PASSWORD,
        "ATELIER_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
    }
    del given["CONTAINER_USER"]
    steps = {s.word: s for stage in lineage(STAGES, "studio") for s in stage.steps}
    words = steps["ENTRYPOINT"].arguments()[2:]
    before = _tree(studio)
    server = subprocess.Popen(
        [studio / "bin" / words[0], *words[1:]],
        cwd=studio,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    check = json.loads(steps["HEALTHCHECK"].rest.partition(" CMD ")[2])
    try:
        end = time.monotonic() + 300
        while subprocess.run(check, env=given, cwd=studio, capture_output=True).returncode:
            assert server.poll() is None, server.communicate()
            assert time.monotonic() < end
            time.sleep(0.5)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/login", timeout=30) as page:
            assert b"Open the studio" in page.read()
        key = {"Authorization": f"Bearer {PASSWORD}"}
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/", headers=key)
        with urllib.request.urlopen(asked, timeout=30) as page:
            assert b"gradio" in page.read()
    finally:
        server.send_signal(signal.SIGTERM)
        log, _ = server.communicate(timeout=60)
    assert server.returncode == 0, log
    assert _tree(studio) == before, "all that is written is in the data folder"
    assert (house.folder / "data" / "atelier.db").is_file()


def _tree(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
