"""Two processes do one run together, as one process does it."""

import pytest
from training_runs import Program, here

LAUNCH = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1")
LAUNCH += ("--num_processes", "2", "--main_process_port", "0")
LAUNCH += ("--mixed_precision", "no", "--dynamo_backend", "no")
TOLERANCE = 1e-4
"""Of a loss, as a share: sums are rounded in another order."""


@pytest.mark.parametrize(
    "fields",
    [
        {"preservation": True, "class_prompt": "a photo of a cat", "method": "dreambooth"},
        {"text_encoder": True, "micro_batch": 1},
    ],
    ids=["with a prior", "with texts"],
)
def test_two_processes_give_the_curve_of_one(begun, tiny, fields):
    fields = {**fields, "model": tiny("sd"), "batch_size": 4, "save_every": 6}
    alone = here(begun("alone", **fields))
    both = Program(begun("both", **fields), *LAUNCH).done()
    one, two = (folder.curve()[0] for folder in (alone, both))
    assert [point["step"] for point in two] == [1, 2, 3, 4, 5, 6]
    for expected, found in zip(one, two, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=TOLERANCE)
        assert found["gradient"] == pytest.approx(expected["gradient"], rel=1e-3)
    assert len({point["loss"] for point in one}) == 6
