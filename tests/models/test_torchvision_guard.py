"""torchvision can be imported whatever torch it was built for, and never stops transformers."""

import subprocess
import sys
from pathlib import Path


def run(code: str, folder=None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder) if folder else "."},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_libraries_that_want_it_come_up():
    assert "fine" in run(
        "import studio.models, torchvision, spandrel\n"
        "from transformers import CLIPTextModel\n"
        "from torchvision.transforms.functional import rotate\n"
        "print('fine')"
    )


def test_a_compiled_part_that_cannot_be_loaded_leaves_operators_without_a_kernel(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "_C.so").write_bytes(b"built for something else")
    (package / "__init__.py").write_text(
        "import torch\n"
        "@torch.library.register_fake('torchvision::nms')\n"
        "def fake(dets, scores, iou_threshold):\n"
        "    return dets\n"
    )
    guard = Path("studio/models/torchvision_guard.py").read_text(encoding="utf-8")
    (tmp_path / "guard.py").write_text(guard)
    told = run(
        "import guard, sys; guard.install(); import torchvision, torch\n"
        "assert guard._guard not in sys.meta_path\n"
        "try: torch.ops.torchvision.nms(torch.ones(1, 4), torch.ones(1), 0.5)\n"
        "except NotImplementedError: print('told')",
        tmp_path,
    )
    assert "told" in told


def test_nothing_is_imported_before_it_is_asked_for():
    assert run("import studio.models, sys; print('torch' in sys.modules)") == "False\n"
