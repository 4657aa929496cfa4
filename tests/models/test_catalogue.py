"""Which models there are, and one sentence on each that cannot be used."""

import json
import struct
from pathlib import Path

import pytest

from studio.errors import ModelError, SettingsError
from studio.models.catalogue import Catalogue
from studio.models.integrity import file_problem, folder_problem
from studio.requests import Sampler
from studio.services import build_services
from studio.settings import Settings

UNET = "unet/diffusion_pytorch_model.safetensors"


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def own_copy(path: Path) -> bytes:
    """Replaces a link to weights by the weights, to be damaged."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    return data


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


# What is found


def test_the_embedded_model_is_found_whole_and_is_the_default(embedded_id, tmp_path):
    catalogue = Catalogue(tmp_path)
    entry = catalogue.get("")
    assert entry.id == embedded_id
    assert entry.embedded
    assert entry.problem == ""
    assert entry.family is not None
    assert (entry.width, entry.height) == entry.sizes[0]
    assert all(w % entry.factor == 0 and h % entry.factor == 0 for w, h in entry.sizes)
    assert entry.bytes > 1_000_000
    assert entry.examples
    assert entry.title != entry.id
    assert catalogue.usable("") == entry


def test_a_folder_that_was_put_there_is_seen_at_once(own, catalogue):
    assert catalogue.entries() == []
    own("mine")
    (entry,) = catalogue.entries()
    assert (entry.id, entry.embedded, entry.problem) == ("mine", False, "")


def test_the_embedded_come_first_then_by_name(own, tmp_path, embedded_id):
    own("b")
    own("a")
    entries = Catalogue(tmp_path / "models").entries()
    assert [entry.id for entry in entries] == [embedded_id, "a", "b"]


def test_an_own_model_of_the_same_name_hides_nothing(own, tmp_path, embedded_id):
    own(embedded_id)
    first, second = Catalogue(tmp_path / "models").entries()
    assert (first.id, first.embedded) == (embedded_id, True)
    assert second.id != embedded_id
    assert not second.embedded
    assert Catalogue(tmp_path / "models").get(second.id) == second


def test_a_chosen_default(own, tmp_path):
    own("mine")
    assert Catalogue(tmp_path / "models", default="mine").get("").id == "mine"


def test_an_unknown_model_is_told_the_known_ones(own, catalogue):
    own("mine")
    with pytest.raises(ModelError, match=r"'other' is not installed; there are: mine\."):
        catalogue.get("other")


def test_no_model_at_all(tmp_path):
    with pytest.raises(ModelError, match="there are: none"):
        Catalogue(tmp_path, embedded=tmp_path).get("")
    assert Catalogue(tmp_path / "gone", embedded=tmp_path).entries() == []


def test_an_unknown_default_model_stops_the_start(tmp_path, embedded_id):
    with pytest.raises(SettingsError, match=r"default_model.*'nonsense'") as caught:
        build_services(Settings(data_dir=tmp_path, default_model="nonsense"))
    assert embedded_id in str(caught.value)


def test_a_folder_without_a_card_gets_the_familys_defaults(own, catalogue, embedded):
    folder = own("mine")
    (folder / "atelier.toml").unlink()
    entry = catalogue.get("mine")
    side = json.loads((embedded / "unet" / "config.json").read_text())["sample_size"]
    assert entry.title == "mine"
    assert (entry.width, entry.height) == (side * entry.factor, side * entry.factor)
    assert len(entry.sizes) == 5
    assert all(w % entry.factor == 0 and h % entry.factor == 0 for w, h in entry.sizes)
    assert (entry.cfg_scale, entry.sampler, entry.steps) == (7.0, Sampler.DPMPP_2M, 20)


def test_the_card_is_read(own, catalogue):
    card = own("mine") / "atelier.toml"
    card.write_text('title = "Mine"\nsampler = "Euler a"\nsteps = 9\nsizes = [[64, 96]]\n')
    entry = catalogue.get("mine")
    assert (entry.title, entry.sampler, entry.steps) == ("Mine", Sampler.EULER_A, 9)
    assert (entry.width, entry.height) == (64, 96)


def test_the_hash_tells_weights_apart(own, catalogue):
    own("a")
    own("b")
    hashes = {name: catalogue.hash(catalogue.get(name)) for name in "ab"}
    assert len(hashes["a"]) == 10
    assert hashes["a"] == hashes["b"]
    path = catalogue.get("b").path / UNET
    path.write_bytes(own_copy(path)[:-1] + b"\x01")
    assert catalogue.hash(catalogue.get("b")) != hashes["a"]


# What is damaged


def cut(folder: Path) -> None:
    path = folder / UNET
    path.write_bytes(own_copy(path)[:-1000])


def write(name: str, content: str | bytes):
    """Damages a folder by other content of one file."""

    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def remove(name: str):
    """Damages a folder by the loss of a file or a folder."""

    def damage(folder: Path) -> None:
        path = folder / name
        for inner in path.rglob("*"):
            inner.unlink()
        path.rmdir() if path.is_dir() else path.unlink()

    return damage


def edited(name: str, **values: object):
    """Damages a folder by other values in a JSON file."""
    return lambda folder: edit(folder / name, **values)


def empty(name: str):
    """Damages a folder by the loss of all that is in one of its folders."""
    return lambda folder: [path.unlink() for path in (folder / name).iterdir()]


DEEP = "[" * 200_000
DAMAGES = {
    "truncated weights": (cut, f"{UNET} is cut off"),
    "missing weights": (remove(UNET), "unet/ has no .safetensors weights"),
    "empty weights": (write(UNET, b""), "not a safetensors file"),
    "text as weights": (write(UNET, "hello" * 9), "is not a safetensors file"),
    "weights with a deep header": (write(UNET, safetensors(DEEP.encode())), "not a safetensors"),
    "missing denoiser": (remove("unet"), "unet"),
    "missing text encoder": (remove("text_encoder"), "text_encoder/ is missing"),
    "missing decoder": (remove("vae"), "vae"),
    "missing tokenizer": (remove("tokenizer"), "tokenizer/ is missing"),
    "empty tokenizer": (empty("tokenizer"), "tokenizer/ is empty"),
    "empty scheduler": (empty("scheduler"), "scheduler/ is empty"),
    "missing config": (remove("text_encoder/config.json"), "text_encoder/config.json is missing"),
    "unknown pipeline": (
        edited("model_index.json", _class_name="KolorsPipeline"),
        "is a KolorsPipeline, which this version does not run",
    ),
    "no pipeline named": (edited("model_index.json", _class_name=None), "is a None"),
    "pipeline of nonsense": (edited("model_index.json", _class_name={"a": [1]}), "is a {'a'"),
    "a component of nothing": (edited("model_index.json", unet=[]), "IndexError"),
    "a component of one word": (edited("model_index.json", unet=["diffusers"]), "IndexError"),
    "index of nonsense": (write("model_index.json", "{{{"), "cannot be read"),
    "index of bytes": (write("model_index.json", b"\xff\xfe\x00"), "cannot be read"),
    "index that is a list": (write("model_index.json", "[1, 2]"), "no JSON object"),
    "index without end": (write("model_index.json", DEEP), "RecursionError"),
    "denoiser config of nonsense": (write("unet/config.json", "null"), "no JSON object"),
    "denoiser config without end": (write("unet/config.json", DEEP), "RecursionError"),
    "size missing": (write("unet/config.json", "{}"), "KeyError: 'sample_size'"),
    "size of text": (edited("unet/config.json", sample_size="big"), "ValueError"),
    "size of no end": (edited("unet/config.json", sample_size=float("inf")), "OverflowError"),
    "size of none": (edited("unet/config.json", sample_size=None), "TypeError"),
    "blocks of number": (edited("vae/config.json", block_out_channels=4), "TypeError"),
    "card of nonsense": (write("atelier.toml", "title = = 1"), "TOMLDecodeError"),
    "card with unknown sampler": (write("atelier.toml", "sampler = 'X'"), "'X'"),
    "card without sizes": (write("atelier.toml", "sizes = []"), "IndexError"),
    "card with a crooked size": (write("atelier.toml", "sizes = [[64]]"), "ValueError"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_folder_is_named_in_one_sentence_and_hides_no_other(
    own, catalogue, damage, words
):
    own("whole")
    damage(own("damaged"))
    entries = {entry.id: entry for entry in catalogue.entries()}
    assert set(entries) == {"damaged", "whole"}
    assert entries["whole"].problem == ""
    problem = entries["damaged"].problem
    assert words in problem
    assert "\n" not in problem
    assert problem.endswith(".")
    assert len(problem) < 500
    with pytest.raises(ModelError) as caught:
        catalogue.usable("damaged")
    assert str(caught.value) == problem
    assert catalogue.get("damaged").title


def test_a_folder_that_is_removed_while_the_server_runs(own, catalogue):
    folder = own("mine")
    assert catalogue.usable("mine").problem == ""
    remove("vae")(folder)
    with pytest.raises(ModelError, match="vae"):
        catalogue.usable("mine")


# Files


def test_a_whole_file_has_no_problem(embedded):
    for path in embedded.glob("*/*.safetensors"):
        assert file_problem(path) == ""


HEADER = json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (safetensors(HEADER, b"1234"), ""),
        (safetensors(b"{}"), ""),
        (safetensors(HEADER, b"123"), "cut off"),
        (safetensors(HEADER, b"12345"), "bytes after its end"),
        (safetensors(HEADER[:-5], length=len(HEADER)), "cut off"),
        (safetensors(HEADER, length=2**63), "not a safetensors file"),
        (safetensors(HEADER, length=10**13), "not a safetensors file"),
        (b"", "not a safetensors file"),
        (b"1234567", "not a safetensors file"),
        (safetensors(b"[]"), "not a safetensors file"),
        (safetensors(b"{]"), "not a safetensors file"),
        (safetensors(b"\xff\xfe"), "not a safetensors file"),
        (safetensors(b'{"a": 1}'), "not a safetensors file"),
        (safetensors(b'{"a": {"data_offsets": []}}'), "not a safetensors file"),
        (safetensors(b'{"a": {"data_offsets": [0, "4"]}}'), "not a safetensors file"),
    ],
)
def test_damaged_files(tmp_path, content, problem):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    found = file_problem(path)
    assert (problem in found) if problem else (found == "")


def test_a_file_that_is_not_there(tmp_path):
    assert "No such file" in file_problem(tmp_path / "gone.safetensors")


def test_a_folder_without_an_index(tmp_path):
    assert "model_index.json" in folder_problem(tmp_path)


def test_files_that_vanish_while_a_folder_is_read_hide_no_other_model(own, catalogue, monkeypatch):
    own("going")
    own("whole")
    assert len(catalogue.entries()) == 2
    real = Path.stat

    def stat(self, **options):
        if "going" in self.parts and self.suffix == ".safetensors":
            raise FileNotFoundError(2, "No such file", str(self))
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    entries = {entry.id: entry.problem for entry in catalogue.entries()}
    assert entries["whole"] == ""
    assert "going" in entries["going"]


def test_damage_is_seen_in_a_model_that_was_read_before(own, catalogue):
    folder = own("mine")
    assert catalogue.get("mine").problem == ""
    cut(folder)
    assert "cut off" in catalogue.get("mine").problem
    (folder / UNET).unlink()
    own("other")
    (folder / UNET).symlink_to((folder.parent / "other" / UNET).resolve())
    assert catalogue.get("mine").problem == ""
