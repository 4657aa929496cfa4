"""`atelier finetune-reader`: a reader out of a folder and a file, killed on its way."""

import json
import signal
import sys
import time
from pathlib import Path

import pytest
from command_line import ended, jobs
from tiny_readers import make_reader

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"
QUICK = ("--max-length", 96, "--overlap", 24, "--held-out", 0.3, "--device", "cpu")


def test_what_is_missing_is_told_in_a_sentence(atelier, tmp_path):
    line = ("finetune-reader", "--base", "../nowhere", "--train", SMALL)
    assert "neither a model" in atelier(*line).sentence()
    line = ("finetune-reader", "--base", "a/b", "--train", tmp_path / "none.json")
    assert "none.json" in atelier(*line).sentence()
    line = ("finetune-reader", "--base", "a/b", "--train", SMALL, "--learning-rate", 2)
    assert "Learning rate must be less than or equal to 1" in atelier(*line).sentence()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_the_same_command_again_goes_on(spawn, data, tmp_path):
    base = make_reader(tmp_path / "my base", head=False)
    line = ("finetune-reader", "--base", base, "--train", SMALL, "--dev", SMALL, *QUICK)
    line = (*line, "--max-steps", 60, "--evaluate-every", 20, "--teacher", "teacher")
    make_reader(data / "models" / "teacher", seed=4)
    first = spawn(*line)
    curve: list[Path] = []
    until = time.monotonic() + 120
    while not curve or not curve[0].read_text():
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
        curve = list((data / "runs").glob("*/curve.jsonl"))
    first.send_signal(signal.SIGKILL)
    first.wait(60)

    done = ended(spawn(*line), 180)
    assert done.code == 0, done.err
    assert done.out == "my-base-small-v2.0 is here; `atelier models` lists it.\n"
    assert "Goes on from step " in done.err
    assert "Step 60: " in done.err
    assert jobs(data) == ["interrupted", "finished"]
    told = [json.loads(each) for each in curve[0].read_text().splitlines()]
    assert [point["step"] for point in told] == [20, 20, 40, 40, 60, 60]
    card = (data / "models" / "readers" / "my-base-small-v2.0" / "README.md").read_text()
    assert "| made from | my base |" in card
