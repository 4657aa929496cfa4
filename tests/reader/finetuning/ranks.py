"""Run by test_processes.py in each of several processes: a run, then this process's own weights."""

import os
import sys
from pathlib import Path

from safetensors.torch import save_file

from studio.reader.finetuning.options import read_options
from studio.reader.finetuning.program import accelerator_of, prepared


def main(folder: Path) -> None:
    options = read_options(folder)
    run = prepared(folder, options, accelerator_of(options))
    assert run.go(lambda told: None, lambda: False) == "finished"
    rank = os.environ["RANK"]
    tensors = {name: tensor.contiguous() for name, tensor in run.model.state_dict().items()}
    save_file(tensors, folder / f"rank-{rank}.safetensors", metadata={"steps": str(run.state.step)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
