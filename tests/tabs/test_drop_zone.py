"""A dropped file: real pictures give their settings back, all else one sentence."""

import io
import shutil
from pathlib import Path

import pytest
from page_events import sent
from PIL import Image

from studio.diffusion.metadata import files
from studio.diffusion.metadata.imported import Imported, Source
from studio.errors import MetadataError
from studio.requests import ImageFormat
from tabs import forms
from tabs.blocks import drop_zone

TEXT = """a (red:1.2) apple
Negative prompt: worm
Steps: 12, Sampler: Euler, Schedule type: Karras, CFG scale: 4.5, Seed: 77, Size: 192x128"""


def real_picture(path: Path, text: str = TEXT, format: ImageFormat = ImageFormat.PNG) -> Path:
    with path.open("wb") as target:
        files.save(Image.effect_noise((64, 64), 50), target, format, text, "")
    return path


def drop(path: Path | str, name: str = "") -> Imported:
    return drop_zone.read_dropped(sent(path=str(path), name=name or Path(path).name))


def refusal(path: Path | str, name: str = "") -> str:
    with pytest.raises(MetadataError) as caught:
        drop(path, name)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("format", list(ImageFormat))
def test_a_picture_gives_its_settings_and_is_removed(uploads, format):
    path = real_picture(uploads / f"made.{format.value}", format=format)
    imported = drop(path)
    assert imported.source is Source.A1111
    assert imported.fields["prompt"] == "a (red:1.2) apple"
    assert (imported.fields["seed"], imported.fields["width"]) == (77, 192)
    assert not path.exists()


def test_a_path_outside_the_upload_folder_is_neither_read_nor_removed(uploads, tmp_path):
    outside = real_picture(tmp_path / "private.png")
    for path in (outside, uploads / ".." / "private.png", f"{uploads}-not/private.png"):
        assert "was not uploaded here" in refusal(path)
    assert "was not uploaded here" in refusal("/etc/passwd")
    assert "was not uploaded here" in refusal("private.png")
    assert outside.exists()


def test_a_link_that_leads_outside_is_not_followed(uploads, tmp_path):
    outside = real_picture(tmp_path / "private.png")
    (uploads / "link.png").symlink_to(outside)
    assert "was not uploaded here" in refusal(uploads / "link.png")
    assert outside.exists()


@pytest.mark.parametrize("name", ["note.txt", "note.png"])
def test_a_text_file_is_no_picture(uploads, name):
    (uploads / name).write_text("Dear diary, today I ate an apple. " * 50)
    assert refusal(uploads / name).startswith(name)


def test_a_truncated_picture_is_refused_and_removed(uploads):
    whole = real_picture(uploads / "whole.png").read_bytes()
    cut = uploads / "cut.png"
    cut.write_bytes(whole[: len(whole) // 2])
    assert refusal(cut).startswith("cut.png")
    assert not cut.exists()


def test_nonsense_in_the_place_of_settings(uploads):
    nonsense = "Steps: many, Sampler: \x7f, Seed: NaN, Size: ∞x-1, CFG scale: $(reboot)"
    path = real_picture(uploads / "odd.png", "")
    stream = io.BytesIO()
    files.save(Image.new("RGB", (8, 8)), stream, ImageFormat.PNG, nonsense, '{"atelier": []}')
    path.write_bytes(stream.getvalue())
    imported = drop(path)
    assert not {"steps", "sampler", "seed", "width", "height", "cfg_scale"} & set(imported.fields)
    assert forms.valid_fields(imported.fields) == imported.fields
    assert imported.notes


def test_a_picture_without_settings(uploads):
    Image.new("RGB", (8, 8)).save(uploads / "plain.png")
    assert "carries no settings" in refusal(uploads / "plain.png")


def test_an_empty_file(uploads):
    (uploads / "empty.png").touch()
    refusal(uploads / "empty.png")


def test_an_upload_that_failed_in_the_browser(uploads):
    assert refusal("", "huge.png") == "huge.png could not be uploaded; it may be too large."
    with pytest.raises(MetadataError, match=r"^The file could not"):
        drop_zone.read_dropped(sent())


@pytest.mark.parametrize("path", ["\0", "a\0b.png", "x" * 5000, "gone.png", "."])
def test_paths_that_no_browser_sends(uploads, path):
    refusal(f"{uploads}/{path}", "odd.png")
    assert uploads.is_dir()


def test_a_folder_in_the_upload_folder_is_no_picture(uploads):
    shutil.copytree(Path(drop_zone.__file__).parent, uploads / "folder")
    refusal(uploads / "folder")
    assert (uploads / "folder").is_dir()


def test_a_long_name_is_cut():
    with pytest.raises(MetadataError) as caught:
        drop_zone.read_dropped(sent(path="", name="x" * 10_000))
    assert len(str(caught.value)) < 200


def imported(**fields: object) -> Imported:
    name = str(fields.pop("model_name", ""))
    return Imported(Source.A1111, fields, ("One note.",), "", model_name=name)


def test_an_installed_model_is_taken_over(services, embedded_id):
    for given in (imported(model=embedded_id), imported(model_name=embedded_id)):
        fields, notes = drop_zone.restored(given, services)
        assert fields["model"] == embedded_id
        assert notes == ["One note."]


def test_of_a_model_that_is_not_installed_the_person_is_told(services):
    for given in (imported(steps=5, model="dream"), imported(steps=5, model_name="dream")):
        fields, notes = drop_zone.restored(given, services)
        assert fields == {"steps": 5}
        assert notes == ["One note.", "Model 'dream' is not installed here; the present one stays."]


def test_without_a_model_the_present_one_stays_without_a_word(services):
    assert drop_zone.restored(imported(steps=5), services) == ({"steps": 5}, ["One note."])


def test_how_this_page_previews_and_saves_is_not_taken_over(services):
    given = imported(preview_every=9, image_format="webp", seed=1)
    assert drop_zone.restored(given, services)[0] == {"seed": 1}
