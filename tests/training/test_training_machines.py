"""Two machines do one run together, each begun by accelerate's launcher as docs/cluster.md says."""

import re
import socket
from pathlib import Path

import pytest
import yaml
from training_runs import Program, here

pytestmark = pytest.mark.slow
DOC = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
TOLERANCE = 1e-4
"""Of a loss, as a share: sums are rounded in another order."""


def documented(port: int) -> str:
    """The configuration that the document shows, for two machines that are both this one."""
    [example] = re.findall(r"```yaml\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    there = {"main_process_ip": "127.0.0.1", "main_process_port": port}
    return yaml.safe_dump(yaml.safe_load(example) | there)


def test_two_machines_give_the_curve_of_one(begun, tiny, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        config = tmp_path / "two-machines.yaml"
        config.write_text(documented(free.getsockname()[1]))
    fields = {"model": tiny("sd"), "micro_batch": 1, "batch_size": 4, "save_every": 6}
    alone = here(begun("alone", **fields))
    folder = begun("both", **fields)
    launch = ("-m", "accelerate.commands.launch", "--config_file", str(config))
    other = Program(folder, *launch, "--machine_rank", "1")
    both = Program(folder, *launch).done()
    assert other.wait() == 0
    one, two = (each.curve()[0] for each in (alone, both))
    assert [point["step"] for point in two] == [1, 2, 3, 4, 5, 6]
    for expected, found in zip(one, two, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=TOLERANCE)
