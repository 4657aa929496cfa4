"""Timing jobs: what they measure on a real pipeline, what they keep, and how they end."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorder import Recorder, Studio, clean_environment
from tiny_models import tiny_model

from studio.context import Signal
from studio.diffusion.resolve import resolve_timing
from studio.errors import Cancelled, RequestError
from studio.events import Notice
from studio.models import speedups
from studio.models.catalogue import Catalogue
from studio.models.speeds import Speed, Speeds
from studio.requests import Speedup, TimingRequest
from studio.services import build_services
from studio.settings import Settings

CACHES = {"first-block-cache", "taylorseer"}


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    tokenizer = Catalogue(Path("/nonexistent")).get("").path / "tokenizer"
    tiny_model("flux-dev", tmp_path / "models" / "flux-dev", tokenizer)
    clean_environment(monkeypatch)
    monkeypatch.setenv("PATH", "")  # no compiler: it would take minutes
    monkeypatch.delenv("CXX", raising=False)
    built = build_services(Settings(data_dir=tmp_path, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


def timed(studio: Studio, on_check: Any = lambda: Signal.GO_ON, **fields: Any) -> Recorder:
    asked = {"model": "flux-dev", "width": 64, "height": 64, "steps": 6, "rounds": 2, **fields}
    recorder = Recorder(studio.services, on_check)
    request = resolve_timing(TimingRequest(**asked), studio.services.catalogue)
    studio.services.engine.time(request, recorder)
    return recorder


def kept(studio: Studio) -> Speed | None:
    return studio.services.speeds.newest("flux-dev", studio.services.engine.device())


def test_everything_that_fits_is_timed_and_kept(studio: Studio, tmp_path: Path) -> None:
    recorder = timed(studio)
    speed = kept(studio)
    assert speed is not None
    assert (speed.width, speed.height, speed.batch_size, speed.steps) == (64, 64, 1, 6)
    assert {"", *CACHES} <= set(speed.seconds)
    assert all(seconds > 0 for seconds in speed.seconds.values())
    assert set(speed.ratios) == set(speed.seconds) - {""}
    assert speed.ratios["taylorseer"] == speed.seconds[""] / speed.seconds["taylorseer"]
    [row] = json.loads((tmp_path / "cache" / "speeds.json").read_text())
    assert row["model"] == "flux-dev"
    last = recorder.progress[-1]
    assert last.fraction == 1
    assert (last.unit, last.seconds_left) == ("evaluation", 0)
    assert recorder.pictures == []
    told = list(dict.fromkeys(each.label for each in recorder.progress))
    assert told[:3] == ["Without", "First block cache", "TaylorSeer"], "in turn, round by round"
    timed(studio, rounds=1)
    timed(studio, rounds=1, width=80)
    assert len(json.loads((tmp_path / "cache" / "speeds.json").read_text())) == 2
    assert kept(studio).width == 80


def test_a_timing_can_be_stopped_and_then_keeps_nothing(studio: Studio) -> None:
    seen = 0

    def stop() -> Signal:
        nonlocal seen
        seen += 1
        if seen == 12:
            raise Cancelled
        return Signal.GO_ON

    with pytest.raises(Cancelled):
        timed(studio, stop)
    assert kept(studio) is None
    assert studio.pixels(model="flux-dev", prompt="a car", steps=2, sampler="Euler").std() > 0


def test_what_does_not_work_is_told_of_and_the_rest_is_timed(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(denoiser: Any) -> None:
        raise RuntimeError("no such kernel")

    table = [
        replace(each, put_on=broken) if each.key is Speedup.TAYLORSEER else each
        for each in speedups.SPEEDUPS
    ]
    monkeypatch.setattr(speedups, "SPEEDUPS", tuple(table))
    recorder = timed(studio)
    [note] = [each.text for each in recorder.events if isinstance(each, Notice)]
    assert "no such kernel" in note
    speed = kept(studio)
    assert speed is not None
    assert "taylorseer" not in speed.seconds
    assert "first-block-cache" in speed.seconds
    assert recorder.progress[-1].fraction == 1


def test_what_is_left_open_is_the_models_own(studio: Studio) -> None:
    entry = studio.services.catalogue.get("flux-dev")
    request = resolve_timing(TimingRequest(model="flux-dev"), studio.services.catalogue)
    assert (request.width, request.height, request.steps) == (
        entry.width,
        entry.height,
        entry.steps,
    )
    with pytest.raises(RequestError, match="multiple"):
        resolve_timing(TimingRequest(model="flux-dev", width=67), studio.services.catalogue)


def test_another_device_and_a_damaged_file_have_no_speeds(studio: Studio, tmp_path: Path) -> None:
    device = studio.services.engine.device()
    file = Speeds(tmp_path / "speeds.json")
    assert file.newest("flux-dev", device) is None
    timed(studio, rounds=1)
    assert studio.services.speeds.newest("flux-dev", None) is None
    assert studio.services.speeds.newest("flux-dev", replace(device, dtype="bfloat16")) is None
    assert studio.services.speeds.newest("other", device) is None
    path = tmp_path / "cache" / "speeds.json"
    for nonsense in ("", "{}", '[{"a": 1}]', "[1]", "\x00"):
        path.write_text(nonsense)
        assert kept(studio) is None, nonsense
