"""Folders, archives, kohya's TOML files and tables of this machine, made sets."""

import errno
import os
import time

import pytest
from drawn_sets import draw_set, drawn, encoded

from studio.errors import AtelierError, DataError, NotFound, RequestError
from studio.training.pictures import taking_in
from studio.training.pictures.examples import examples
from studio.training.pictures.sets import PictureSets
from studio.training.pictures.tables import TableWish
from studio.training_requests import Pictures, TrainRequest

WANTED = Pictures(pictures="x", prompt="for all")


@pytest.fixture
def sets(tmp_path):
    return PictureSets(tmp_path / "data")


def seen(sets, name):
    found = examples(sets.path(name), WANTED)
    return {each.name: (each.repeats, each.caption) for each in found}


def test_a_folder_is_taken_in_with_captions_and_nothing_is_written_into_it(sets, tmp_path):
    folder = draw_set(
        tmp_path / "My dogs!", {"a b.png": None, "in/it's.PNG": "x", "in/c.png": None}
    )
    (folder / "a b.txt").write_bytes("un café".encode("latin-1"))
    (folder / "metadata.jsonl").write_text('{"file_name": "in/c.png", "text": "listed"}')
    before = sorted((f, f.stat().st_mtime_ns) for f in folder.rglob("*"))
    taken = sets.take_in(folder)
    assert (taken.name, taken.pictures, taken.notices) == ("My dogs_", 3, ())
    assert seen(sets, taken.name) == {
        "a b.png": (2, "un café"),
        "in/c.png": (1, "listed"),
        "in/it_s.png": (1, "x"),
    }
    assert sorted((f, f.stat().st_mtime_ns) for f in folder.rglob("*")) == before
    assert not [f for f in sets.folder.iterdir() if f.name.startswith(".")]


def test_the_same_folder_is_the_same_set_and_a_changed_one_is_another(sets, tmp_path):
    folder = draw_set(tmp_path / "dogs", {"a.png": "x"})
    assert [sets.take_in(folder).name for _ in range(2)] == ["dogs", "dogs"]
    (folder / "a.txt").write_text("changed")
    assert sets.take_in(folder).name == "dogs 2"
    assert sets.take_in(folder, "other").name == "other"
    assert sets.names() == ["dogs", "dogs 2", "other"]
    assert sets.take_in(sets.path("dogs")).name == "dogs"
    with pytest.raises(RequestError, match="cannot be the name"):
        sets.take_in(folder, "../x")


def test_pictures_are_copied_where_they_cannot_be_linked(sets, tmp_path, monkeypatch):
    folder = draw_set(tmp_path / "dogs", {"a.png": None})
    (folder / "b.png").symlink_to(folder / "a.png")
    assert sets.take_in(folder).pictures == 2
    assert (sets.path("dogs") / "a.png").samefile(folder / "a.png")

    def refuse(*_args, **_options):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    sets.take_in(folder, "copied")
    for name in ("a.png", "b.png"):
        copied = sets.path("copied") / name
        assert copied.read_bytes() == (folder / "a.png").read_bytes()
        assert not copied.is_symlink()
        assert not copied.samefile(folder / "a.png")


def test_folders_of_kohyas_are_taken_in_with_what_their_names_tell(sets, tmp_path):
    folder = draw_set(
        tmp_path / "train",
        {"img/10_the cat's toy/a.png": None, "reg/1_toy/r.png": None, "log/x.png": None},
    )
    taken = sets.take_in(folder)
    assert seen(sets, taken.name) == {"img/10_the cat_s toy/a.png": (10, "the cat's toy")}
    assert taken.fields == {"preservation": True, "class_prompt": "toy"}
    assert "Pictures of the class in" in taken.notices[0]
    one = sets.take_in(folder / "img" / "10_the cat's toy", "one")
    assert seen(sets, one.name) == {"a.png": (10, "the cat's toy")}


def test_a_data_file_of_kohyas_is_followed(sets, tmp_path):
    draw_set(tmp_path / "dogs", {"a.png": None, "b.png": "caption"})
    (tmp_path / "dogs" / "b.tags").write_text("tags")
    draw_set(tmp_path / "far" / "dogs", {"c.png": None})
    draw_set(tmp_path / "reg", {"r.png": None})
    file = tmp_path / "my data.toml"
    file.write_text(
        f"""
        [general]
        flip_aug = true
        prior = 3
        [[datasets]]
        resolution = 128
        [[datasets.subsets]]
        image_dir = "dogs"
        class_tokens = "sks dog"
        num_repeats = 4
        caption_extension = ".tags"
        [[datasets.subsets]]
        image_dir = '{tmp_path / "far" / "dogs"}'
        class_tokens = "two"
        [[datasets.subsets]]
        image_dir = "reg"
        class_tokens = "dog"
        is_reg = true
        """
    )
    taken = sets.take_in(file)
    assert taken.name == "my data"
    assert seen(sets, taken.name) == {
        "dogs/a.png": (4, "sks dog"),
        "dogs/b.png": (4, "tags"),
        "dogs 2/c.png": (1, "two"),
    }
    assert taken.fields == {
        "flip": True,
        "resolution": 128,
        "preservation": True,
        "class_prompt": "dog",
    }
    assert [notice.rpartition(" ")[2] for notice in taken.notices] == ["prior.", "'dog'."]
    TrainRequest(name="run", pictures=taken.name, **taken.fields)
    holder = tmp_path / "holder"
    holder.mkdir()
    file.rename(holder / "x.toml")
    with pytest.raises(NotFound, match=r"holder/dogs is not there"):
        sets.take_in(holder)


def test_an_archive_is_taken_in(sets, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "dogs.zip", "w") as archive:
        archive.writestr("x/a.png", encoded(drawn(1)))
        archive.writestr("x/a.txt", "caption")
    assert sets.take_in(tmp_path / "dogs.zip").name == "dogs"
    assert seen(sets, "dogs") == {"a.png": (1, "caption")}
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("a.exe", b"")
    with pytest.raises(DataError, match=r"no pictures in .*that can be used: 'a.exe' is neither"):
        sets.take_in(tmp_path / "none.zip")
    assert sets.names() == ["dogs"]


def test_what_cannot_be_taken_in_is_told_in_one_sentence_and_leaves_nothing(
    sets, tmp_path, monkeypatch
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.xyz").write_text("x")
    for source, told in (
        ("nowhere", "nowhere is not there; check the path"),
        ("empty", "There are no pictures in .*empty; check the path"),
        ("file.xyz", "is no folder"),
        ("gone.toml", "gone.toml is not there"),
        ("gone.zip", "gone.zip is not there"),
    ):
        with pytest.raises(AtelierError, match=told):
            sets.take_in(tmp_path / source)
    folder = draw_set(tmp_path / "many", {f"{n}.png": None for n in range(4)})
    monkeypatch.setattr(taking_in, "MOST_PICTURES", 3)
    with pytest.raises(DataError, match="holds more than 3 pictures"):
        sets.take_in(folder)
    monkeypatch.undo()

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(os, "scandir", refuse)
        with pytest.raises(DataError, match=r"many cannot be read \(permission denied\)"):
            sets.take_in(folder)
    assert sets.names() == []


def images(count=3):
    return [{"bytes": encoded(drawn(seed)), "path": f"{seed}.png"} for seed in range(count)]


def parquet(path, columns):
    import pyarrow
    from pyarrow.parquet import write_table

    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(pyarrow.table(columns), path)
    return path


def test_a_parquet_file_becomes_a_set(sets, tmp_path):
    file = parquet(
        tmp_path / "dogs.parquet",
        {"id": [1, 2, 3], "image": images(), "text": ["one", None, " three\n"]},
    )
    taken = sets.take_parquet(file)
    assert (taken.name, taken.pictures) == ("dogs", 3)
    assert seen(sets, "dogs") == {
        "000001.png": (1, "one"),
        "000002.png": (1, "for all"),
        "000003.png": (1, "three"),
    }
    assert (sets.path("dogs") / "000001.png").read_bytes() == images()[0]["bytes"]
    assert sets.take_parquet(file).name == sets.take_in(file).name == "dogs"


def test_columns_are_found_or_said_and_plain_bytes_are_pictures(sets, tmp_path):
    columns = {"pixels": [each["bytes"] for each in images()], "name": list("abc"), "n": [1, 2, 3]}
    folder = parquet(tmp_path / "set" / "train-0.parquet", columns).parent
    parquet(folder / "test-0.parquet", {"pixels": [b"x"], "name": ["no"], "n": [0]})
    assert sets.take_parquet(folder, "found").pictures == 3
    assert seen(sets, "found")["000002.png"] == (1, "b")
    wish = TableWish(image="pixels", text="name", most=2)
    assert sets.take_parquet(folder, "two", wish).pictures == 2
    for wish, told in (
        (TableWish(image="nothing"), "no column 'nothing', but pixels, name, n"),
        (TableWish(split="test"), "no pictures that can be read|no column of pictures"),
    ):
        with pytest.raises(DataError, match=told):
            sets.take_parquet(folder, "x", wish)
    assert sets.names() == ["found", "two"]


def test_a_saved_data_set_becomes_a_set(sets, tmp_path):
    import datasets

    table = datasets.Dataset.from_dict(
        {"img": images(), "caption": list("abc")},
        features=datasets.Features({"img": datasets.Image(), "caption": datasets.Value("string")}),
    )
    datasets.disable_progress_bars()
    table.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": table}).save_to_disk(str(tmp_path / "split"))
    assert sets.take_parquet(tmp_path / "one").pictures == 3
    assert sets.take_parquet(tmp_path / "split").name == "split"
    assert seen(sets, "one")["000003.png"] == (1, "c")
    with pytest.raises(DataError, match="no split 'test', but train"):
        sets.take_parquet(tmp_path / "split", "x", TableWish(split="test"))


def test_tables_name_no_files_of_this_machine(sets, tmp_path):
    private = tmp_path / "private.png"
    private.write_bytes(encoded(drawn(5)))
    file = parquet(tmp_path / "t.parquet", {"image": [{"bytes": None, "path": str(private)}]})
    with pytest.raises(DataError, match="no pictures that can be read"):
        sets.take_parquet(file)
    assert sets.names() == []


@pytest.mark.parametrize("name", ["imagefolder", "/etc", "../x", "a/../b", "", "a/b/c", "./x/y"])
def test_ids_of_the_hub_are_ids_and_no_paths(sets, name):
    with pytest.raises(DataError, match="is no id of a data set"):
        sets.take_parquet(name)


def test_tables_that_cannot_be_read_are_told_in_one_sentence(sets, tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    (tmp_path / "empty").mkdir()
    for source, told in (
        (tmp_path / "x.parquet", "cannot be read as a table of pictures"),
        (tmp_path / "empty", "has no .parquet files"),
        (tmp_path / "gone", "has no .parquet files"),
        ("nobody/nothing", "cannot be read as a table of pictures"),
    ):
        with pytest.raises(DataError, match=told) as error:
            sets.take_parquet(source)
        assert "\n" not in str(error.value)


def test_what_a_kill_left_behind_goes_with_the_time(sets, tmp_path):
    for name, age in (("old", 3), ("new", 0)):
        left = draw_set(sets.folder / f".atelier-{name}", {"a.png": None})
        changed = time.time() - age * 86400
        os.utime(left, (changed, changed))
    sets.take_in(draw_set(tmp_path / "dogs", {"a.png": None}))
    assert [f.name for f in sets.folder.iterdir() if f.name[0] == "."] == [".atelier-new"]
    assert sets.names() == ["dogs"]


def test_a_table_that_is_taken_back_leaves_nothing(sets, tmp_path):
    file = parquet(tmp_path / "t.parquet", {"image": images(), "text": list("abc")})

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sets.take_parquet(file, check=stop)
    assert list(sets.folder.iterdir()) == []
