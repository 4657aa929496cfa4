"""Pictures with settings inside: round trips, other people's readers, hostile files."""

import contextlib
import io
import json
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sd_parsers import ParserManager

from studio.diffusion.metadata.containers import PIXEL_LIMIT, TEXT_LIMIT
from studio.diffusion.metadata.document import Document
from studio.diffusion.metadata.files import read, read_text, save
from studio.diffusion.metadata.imported import Source
from studio.diffusion.metadata.infotext import write
from studio.errors import MetadataError
from studio.requests import (
    PROMPT_LIMIT,
    SEED_LIMIT,
    GenerationRequest,
    ImageFormat,
    Sampler,
    Schedule,
)

FULL = GenerationRequest(
    model="sd15",
    prompt="a lighthouse (at dusk:1.2), oil\nby the sea",
    negative_prompt="blurry\nNegative prompt: text",
    sampler=Sampler.EULER_A,
    schedule=Schedule.KARRAS,
    steps=31,
    cfg_scale=6.5,
    width=64,
    height=96,
    seed=SEED_LIMIT,
    batch_size=2,
    batch_count=3,
    clip_skip=2,
    variation_seed=99,
    variation_strength=0.3,
    preview_every=5,
    image_format=ImageFormat.WEBP,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=300)
PICTURE = Image.effect_mandelbrot((64, 96), (-3, -2.5, 2, 2.5), 20).convert("RGB")


def saved(request: GenerationRequest, format: ImageFormat, document: str = "") -> io.BytesIO:
    target = io.BytesIO()
    record = Document(
        request=request,
        model_name="dreamshaper_8",
        model_hash="879db523c3",
        versions={"torch": "2"},
    )
    text = write(request, record.model_name, record.model_hash, "0.1.0")
    save(PICTURE, target, format, text, document or record.to_json())
    target.seek(0)
    return target


def png_with(**texts: str) -> io.BytesIO:
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    target = io.BytesIO()
    PICTURE.save(target, format="PNG", pnginfo=info)
    target.seek(0)
    return target


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    size = struct.pack(">I", len(data) if length is None else length)
    return size + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(*chunks: bytes, width: int = 8, height: int = 8) -> io.BytesIO:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b""))


@pytest.mark.parametrize("format", ImageFormat)
def test_the_full_request_comes_back(format):
    imported = read(saved(FULL, format))
    assert imported.source is Source.ATELIER
    assert GenerationRequest(**imported.fields) == FULL
    assert imported.notes == ()
    assert (imported.model_name, imported.model_hash) == ("dreamshaper_8", "879db523c3")
    assert imported.text.startswith("a lighthouse")


@pytest.mark.parametrize("format", ImageFormat)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(prompt=TEXTS, negative=TEXTS)
def test_any_prompt_comes_back_exactly(format, prompt, negative):
    request = GenerationRequest(prompt=prompt, negative_prompt=negative, seed=3)
    assert GenerationRequest(**read(saved(request, format)).fields) == request


@pytest.mark.parametrize("format", ImageFormat)
def test_the_longest_prompts_fit(format):
    request = GenerationRequest(
        prompt="🐈, " * (PROMPT_LIMIT // 3), negative_prompt="猫" * PROMPT_LIMIT, seed=1
    )
    picture = saved(request, format)
    assert GenerationRequest(**read(picture).fields) == request
    with Image.open(picture) as image:
        image.load()


def test_unresolved_fields_come_back_unresolved():
    request = GenerationRequest(prompt="a")
    assert GenerationRequest(**read(saved(request, ImageFormat.PNG)).fields) == request


@pytest.mark.parametrize("format", ImageFormat)
def test_a_public_reader_finds_the_settings(format):
    request = FULL.model_copy(update={"negative_prompt": "blurry, текст"})
    found = ParserManager().parse(saved(request, format))
    assert found is not None
    sampler = found.samplers[0]
    assert found.generator.value == "AUTOMATIC1111"
    assert sampler.name == "Euler a"
    assert found.full_prompt == request.prompt
    assert found.full_negative_prompt == "blurry, текст"
    assert sampler.parameters == {
        "scheduler": "Karras",
        "cfg_scale": "6.5",
        "seed": str(SEED_LIMIT),
        "steps": "31",
    }
    assert (sampler.model.name, sampler.model.hash) == ("dreamshaper_8", "879db523c3")
    assert found.metadata["Size"] == "64x96"


@pytest.mark.parametrize("format", ImageFormat)
def test_pictures_are_whole(format):
    with Image.open(saved(FULL, format)) as image:
        image.load()
        assert image.format == format.upper()
        assert image.size == (64, 96)


def test_png_chunk_is_the_plain_kind_where_latin_1_suffices():
    assert b"tEXtparameters\x00" in saved(FULL, ImageFormat.PNG).getvalue()
    other = FULL.model_copy(update={"prompt": "猫"})
    assert b"iTXtparameters\x00" in saved(other, ImageFormat.PNG).getvalue()


@pytest.mark.parametrize("format", [ImageFormat.JPEG, ImageFormat.WEBP])
def test_comment_is_of_the_type_that_piexif_reads(format):
    entry = struct.pack("<HH", 0x9286, 7)
    assert entry in saved(FULL, format).getvalue()


def test_jpeg_keeps_every_colour_sample():
    with Image.open(saved(FULL, ImageFormat.JPEG)) as image:
        assert [(layer[1], layer[2]) for layer in image.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("format", ImageFormat)
def test_the_text_alone_is_enough(format):
    target = io.BytesIO()
    save(PICTURE, target, format, write(FULL, "m", "h", "0.1.0"), "no record")
    imported = read(target)
    assert imported.source is Source.ATELIER
    assert imported.fields["prompt"] == FULL.prompt
    assert imported.fields["sampler"] is Sampler.EULER_A
    assert imported.fields["clip_skip"] == 2
    assert imported.fields["variation_strength"] == 0.3


def test_a_newer_record_is_read_as_far_as_it_is_known():
    record = json.loads(Document(request=FULL).to_json())
    record["request"] |= {"upscale": 4, "sampler": "Res 2S", "steps": 9999, "kind": "animate"}
    record["signature"] = "later"
    imported = read(saved(FULL, ImageFormat.PNG, json.dumps(record)))
    assert imported.fields["prompt"] == FULL.prompt
    assert not {"upscale", "sampler", "steps", "kind"} & imported.fields.keys()
    assert imported.notes == (
        "The picture was made by 'animate'; the settings shared with it are used.",
        "Sampler 'Res 2S' is not available; kept DPM++ 2M.",
        "Steps must be less than or equal to 150, but is 9999; it was left out.",
        "Setting 'upscale' is not known to this version and was left out.",
    )


@pytest.mark.parametrize("record", ["{", "[]", '{"request": 3}', '{"request": {}}', "null"])
def test_a_damaged_record_gives_way_to_the_text(record):
    imported = read(saved(FULL, ImageFormat.PNG, record))
    assert imported.fields["steps"] == 31


def test_pictures_are_read_from_a_path(tmp_path):
    path = tmp_path / "a picture.png"
    path.write_bytes(saved(FULL, ImageFormat.PNG).getvalue())
    assert read(path) == read(str(path)) == read(saved(FULL, ImageFormat.PNG))


def test_a_copied_text_is_read():
    text = write(FULL, "m", "h", "0.1.0")
    assert read_text(text).fields["seed"] == SEED_LIMIT
    assert GenerationRequest(**read_text(Document(request=FULL).to_json()).fields) == FULL
    with pytest.raises(MetadataError, match="no settings"):
        read_text("just a prompt")


def test_text_after_the_pixels_is_found():
    png = png_of(
        chunk(b"IDAT", b"x"), chunk(b"tEXt", b"parameters\x00a\nSteps: 5, Seed: 6, CFG scale: 7")
    )
    assert read(png).fields["steps"] == 5


def test_compressed_text_is_found():
    value = zlib.compress(b"a\nSteps: 5, Seed: 6, CFG scale: 7")
    assert read(png_of(chunk(b"zTXt", b"parameters\x00\x00" + value))).fields["seed"] == 6
    packed = b"parameters\x00\x01\x00\x00\x00" + value
    assert read(png_of(chunk(b"iTXt", packed))).fields["seed"] == 6


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be", "utf-16"])
def test_comments_are_read_in_either_byte_order(order):
    exif = Image.Exif()
    comment = b"UNICODE\x00" + "猫\nSteps: 5, Seed: 6, CFG scale: 7".encode(order)
    exif.get_ifd(0x8769)[0x9286] = comment
    target = io.BytesIO()
    PICTURE.save(target, format="JPEG", exif=exif)
    imported = read(target)
    assert imported.fields["prompt"] == "猫"
    assert imported.fields["cfg_scale"] == 7


def test_a_text_file_named_png_is_no_image(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("Steps: 20, Sampler: Euler, CFG scale: 7")
    with pytest.raises(MetadataError, match=r"^notes\.png is not an image .*\.$"):
        read(path)


def test_other_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(MetadataError, match=r"gone\.png could not be opened: No such file"):
        read(tmp_path / "gone.png")
    with pytest.raises(MetadataError, match="could not be opened"):
        read(tmp_path)
    with pytest.raises(MetadataError, match="The file is not an image"):
        read(io.BytesIO(b""))
    with pytest.raises(MetadataError, match=r"upload\.png carries no settings"):
        read(png_with(), "upload.png")
    with pytest.raises(MetadataError, match="nothing in it can be understood"):
        read(png_with(parameters="hello there"))
    with pytest.raises(MetadataError, match="nothing in it can be understood"):
        read(png_with(parameters='{"a": [1, 2'))


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("format", [ImageFormat.PNG, ImageFormat.WEBP])
def test_a_file_cut_off_is_refused(format, tenth):
    whole = saved(FULL, format).getvalue()
    cut = whole[: len(whole) * tenth // 10]
    with pytest.raises(MetadataError, match=r"cut off|is not an image"):
        read(io.BytesIO(cut))


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_a_jpeg_cut_off_in_its_head_is_refused(at):
    with pytest.raises(MetadataError):
        read(io.BytesIO(saved(FULL, ImageFormat.JPEG).getvalue()[:at]))


def test_a_damaged_text_is_not_trusted():
    data = saved(FULL, ImageFormat.PNG).getvalue().replace(b"Steps: 31", b"Steps: 91")
    with pytest.raises(MetadataError, match="damaged"):
        read(io.BytesIO(data))


def test_absurd_sizes_are_refused_by_the_header():
    with pytest.raises(MetadataError, match="200,000 x 200,000 pixels"):
        read(png_of(width=200_000, height=200_000))
    with pytest.raises(MetadataError, match="damaged"):
        read(png_of(width=0))
    jpeg = saved(FULL, ImageFormat.JPEG).getvalue()
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg = jpeg[:start] + b"\xff\xff\xff\xff" + jpeg[start + 4 :]
    with pytest.raises(MetadataError, match="65,535 x 65,535"):
        read(io.BytesIO(jpeg))
    webp = bytearray(saved(FULL, ImageFormat.WEBP).getvalue())
    webp[24:30] = b"\xff" * 6
    with pytest.raises(MetadataError, match="megapixels"):
        read(io.BytesIO(bytes(webp)))
    assert PIXEL_LIMIT == 2 * Image.MAX_IMAGE_PIXELS


def test_texts_without_end_are_refused():
    bomb = zlib.compress(bytes(TEXT_LIMIT * 8))
    for kind, head in ((b"zTXt", b"parameters\x00\x00"), (b"iTXt", b"prompt\x00\x01\x00\x00\x00")):
        with pytest.raises(MetadataError, match="more than 4 MB"):
            read(png_of(chunk(kind, head + bomb)))
    with pytest.raises(MetadataError, match="more than 4 MB"):
        read(png_of(chunk(b"tEXt", b"parameters\x00" + b"a" * (TEXT_LIMIT + 100))))
    with pytest.raises(MetadataError, match="cut off"):
        read(png_of(chunk(b"tEXt", b"parameters\x00abc", length=2**31)))


def test_a_bomb_under_another_name_is_passed_over():
    bomb = chunk(b"zTXt", b"other\x00\x00" + zlib.compress(bytes(TEXT_LIMIT * 8)))
    text = chunk(b"tEXt", b"parameters\x00a\nSteps: 5, Seed: 6, CFG scale: 7")
    assert read(png_of(bomb, text)).fields["steps"] == 5


def test_files_of_nothing_but_pieces_end():
    with pytest.raises(MetadataError, match="damaged"):
        read(png_of(chunk(b"abCd", b"") * 100_001))
    with pytest.raises(MetadataError, match="damaged"):
        read(io.BytesIO(b"\xff\xd8" + b"\xff" * 200_000))


HEADS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\x00\x00\x00WEBP"]


@given(st.sampled_from(HEADS), st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(head, tail):
    with pytest.raises(MetadataError):
        read(io.BytesIO(head + tail))


@pytest.mark.parametrize("format", ImageFormat)
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=20))
def test_flipped_bytes_raise_nothing_else(format, flips):
    data = bytearray(saved(FULL, format).getvalue())
    for place, value in flips:
        data[int(place * len(data))] = value
    with contextlib.suppress(MetadataError):
        assert read(io.BytesIO(bytes(data))).fields
