"""Published attacks by model files: each is laid into a model that is then read as usual."""

import ast
import json
import pickle
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_readers import make_reader

from studio.context import ModelSpec
from studio.errors import AtelierError
from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.diffusion_loader import DiffusionLoader
from studio.models.manager import ModelManager
from studio.models.readers import load_reader

ROOT = Path(__file__).resolve().parents[2]


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, sign: Path):
        self.sign = sign

    def __reduce__(self):
        return Path.touch, (self.sign,)


def evil_module(folder: Path, name: str, sign: Path) -> None:
    """A Python file that leaves a sign when it is run, with classes of all likely names."""
    names = ("Evil", "UNet2DConditionModel", "CustomPipeline", "EvilConfig", "EvilReader")
    classes = "".join(f"class {each}: pass\n" for each in names)
    (folder / f"{name}.py").write_text(f"open({str(sign)!r}, 'w').close()\n{classes}")


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    """A file that is there once foreign code has run."""
    return tmp_path / "code has run"


@pytest.mark.parametrize(
    "change",
    [
        {"unet": ["evil", "Evil"]},
        {"unet": ["unet.evil", "UNet2DConditionModel"]},
        {"_class_name": ["evil", "CustomPipeline"]},
        {"_class_name": "CustomPipeline", "custom_pipeline": "evil.py"},
        {"scheduler": ["os", "system"]},
        {"safety_checker": ["evil", "Evil"]},
    ],
    ids=str,
)
def test_cve_2026_44513_a_pipelines_own_code_is_not_run(tmp_path, embedded, sign, change):
    folder = tmp_path / "models" / "evil"
    shutil.copytree(embedded, folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | change))
    for place, name in ((folder, "evil"), (folder, "pipeline"), (folder / "unet", "evil")):
        evil_module(place, name, sign)
    catalogue = Catalogue(tmp_path / "models")
    loader = DiffusionLoader(catalogue, lambda: Device("cpu", "CPU", "float32"), "sdpa")
    manager = ModelManager({"diffusion": loader}, lambda: 10**9)
    with (
        suppress(AtelierError),
        manager.borrow(ModelSpec("diffusion", "evil", "text2image")),
    ):
        pass
    assert not sign.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"_attn_implementation_internal": "evil/kernels"},
        {"_attn_implementation": "evil/kernels", "attn_implementation": "evil/kernels"},
        {"auto_map": {"AutoModelForQuestionAnswering": "evil.EvilReader"}},
        {"auto_map": {"AutoConfig": "evil.EvilConfig"}, "model_type": "evil"},
        {"auto_map": {"AutoConfig": "someone/else--evil.EvilConfig"}},
        {"trust_remote_code": True, "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}},
    ],
    ids=str,
)
def test_cve_2026_4372_and_5241_a_readers_config_runs_nothing(tmp_path, sign, change, monkeypatch):
    fetched: list[object] = []
    monkeypatch.setattr("socket.socket.connect", lambda *told: fetched.append(told))
    folder = make_reader(tmp_path / "evil")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    evil_module(folder, "evil", sign)
    with suppress(AtelierError):
        load_reader(folder)
    assert not sign.exists()
    assert fetched == []


def test_cve_2025_32434_and_2024_12029_pickles_beside_a_model_are_not_opened(
    tmp_path, embedded, sign
):
    folder = tmp_path / "models" / "evil"
    shutil.copytree(embedded, folder)
    trap = pickle.dumps(Trap(sign))
    for weights in folder.rglob("*.safetensors"):
        for ending in (".bin", ".pt", ".ckpt", ".pth", ".pkl"):
            weights.with_suffix(ending).write_bytes(trap)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    catalogue = Catalogue(tmp_path / "models")
    loader = DiffusionLoader(catalogue, lambda: Device("cpu", "CPU", "float32"), "sdpa")
    manager = ModelManager({"diffusion": loader}, lambda: 10**9)
    with (
        pytest.raises(AtelierError),
        manager.borrow(ModelSpec("diffusion", "evil", "text2image")),
    ):
        pass
    assert not sign.exists()


def test_cve_2026_1839_pickles_are_opened_in_one_place_alone():
    """That of the converter, a program of its own without rights; no checkpoint holds any."""
    found = set()
    for file in [*ROOT.glob("studio/**/*.py"), *ROOT.glob("tabs/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called.split(".")[-2:] in (
                ["torch", "load"],
                ["pickle", "load"],
                ["joblib", "load"],
            ):
                found.add(file.relative_to(ROOT).as_posix())
            assert called not in ("pickle.loads", "marshal.loads", "dill.loads"), file
    assert found == {"studio/models/unpickle.py"}
