"""Pictures dropped, checked and mended, settings read, and a training put into the line."""

import shutil

import gradio as gr
import pytest

from studio.training.toml_files import write_toml
from studio.training_requests import TrainRequest
from tabs.blocks.train.launching import LaunchHandlers


@pytest.fixture
def handlers(services, view):
    return LaunchHandlers(services, view.launcher)


@pytest.fixture
def dropped(uploads, files, event):
    """Files as the browser tells of them once they are uploaded."""

    def made(*more):
        told = []
        for number, file in enumerate([*files, *more]):
            place = uploads / f"{number}-{file.name}"
            shutil.copy(file, place)
            told.append({"path": str(place), "name": file.name})
        return event(files=told, lost=[])

    return made


def test_dropped_pictures_make_a_set_by_themselves(
    services, view, handlers, values, dropped, uploads
):
    told = handlers.drop(values(prompt="a photo of sks dog"), dropped())
    [name] = services.picture_sets.names()
    assert name == "a photo of sks dog"
    assert told[view.launcher.form.fields["pictures"]].value == name
    assert told[view.launcher.form.fields["name"]] == name
    assert "5 pictures" in told[view.launcher.strip]
    assert told[view.launcher.form.fields["steps"]].placeholder == "500"
    assert list(uploads.iterdir()) == [], "what was taken over is not kept twice"


def test_more_pictures_go_into_the_chosen_set(services, handlers, values, dropped, things):
    handlers.drop(values(pictures=things), dropped())
    assert services.picture_sets.names() == [things]
    assert services.picture_sets.summary(things).pictures == 5, "the same ones are not added twice"


def test_nothing_is_made_of_what_is_no_picture(
    services, handlers, values, event, uploads, tmp_path
):
    text = uploads / "a.exe"
    text.write_text("no picture")
    outside = tmp_path / "secret.png"
    outside.write_text("secret")
    for path in (text, outside, "/etc/passwd"):
        with pytest.raises(gr.Error):
            handlers.drop(values(), event(files=[{"path": str(path), "name": "x.png"}]))
    assert services.picture_sets.names() == []
    assert outside.exists()


def test_a_method_shows_its_own_controls_and_presets(view, handlers, values, things):
    launcher = view.launcher
    told = handlers.choose_method(values(method="textual-inversion", pictures=things))
    assert told[launcher.groups["vectors"]]["visible"]
    assert not told[launcher.groups["rank"]]["visible"]
    assert not told[launcher.groups["preservation"]].visible
    assert all("textual-inversion" in name for _, name in told[launcher.preset].choices[2:])
    told = handlers.choose_method(values(method="dreambooth", pictures=things))
    assert told[launcher.groups["preservation"]].visible
    assert (
        told[launcher.form.fields["class_pictures"]]["placeholder"] == "100"
        or told[launcher.form.fields["class_pictures"]]["info"]
    )


def test_a_preset_fills_the_form_and_the_next_one_leaves_nothing_of_it(
    view, handlers, values, services
):
    launcher = view.launcher
    assert handlers._known_presets(values()) == [], "nobody waits for the device"
    services.engine.device()
    place = list(launcher.form.fields).index("batch_size") + 1
    names = [each.name for each in handlers._known_presets(values())]
    given = values() | {launcher.preset: names[0]}
    assert handlers.choose_preset(given)[place] == 4
    given = values() | {launcher.preset: "none"}
    assert handlers.choose_preset(given)[place] == TrainRequest.model_fields["batch_size"].default


def test_the_preset_that_fits_is_there_until_somebody_knows_better(
    view, handlers, values, services
):
    launcher = view.launcher
    batch, prior = (launcher.form.fields[name] for name in ("batch_size", "preservation"))
    assert "value" not in handlers.choose_method(values()).get(batch, {}), (
        "the device is not known yet"
    )
    services.engine.device()
    told = handlers.choose_method(values())
    first = told[launcher.preset].value
    assert first == handlers._known_presets(values())[0].name
    assert told[batch]["value"] == 4
    # Of another method, it makes room for that one's.
    boxes = launcher.form.fields.values()
    taken = {box: told[box]["value"] for box in boxes if "value" in told.get(box, {})}
    now = values(method="dreambooth") | taken | {launcher.preset: first}
    told = handlers.choose_method(now)
    assert "dreambooth" in told[launcher.preset].value
    assert told[prior]["value"] is True
    # What somebody has set stays, and so does that nobody wants one.
    for kept in ({batch: 2}, {launcher.preset: "none"}):
        told = handlers.choose_method(values() | kept)
        assert "value" not in told.get(batch, {})
        assert told[launcher.preset].value == kept.get(launcher.preset, "")


def test_the_word_is_judged_and_better_ones_are_a_press_away(view, handlers, values, event):
    launcher = view.launcher
    told = handlers.judge(values(trigger="dog"))
    assert "a word that the model knows" in told[launcher.verdict]
    assert told[launcher.words]
    better = told[launcher.words][0]
    told = handlers.choose_word(values(trigger="dog", prompt="a dog"), event(text=better))
    assert told[launcher.form.fields["trigger"]] == better
    assert told[launcher.form.fields["prompt"]] == f"a {better}"


def test_a_prompt_to_begin_with_brings_its_word_and_its_class(view, handlers, values, event):
    launcher = view.launcher
    fields = launcher.form.fields
    offered = handlers.judge(values())[launcher.templates]
    assert offered[0] == "a sks dog", "the embedded model knows no photos"
    told = handlers.choose_template(values(), event(text=offered[0]))
    assert told[fields["prompt"]] == offered[0]
    assert told[fields["class_prompt"]] == "a dog"
    assert told[fields["trigger"]] == "sks"
    own = values(trigger="zwx", prompt="a zwx owl")
    assert handlers.judge(own)[launcher.templates][0] == "a zwx owl"
    told = handlers.choose_template(own, event(text="an owl in the style of zwx"))
    assert told[fields["class_prompt"]] == "an owl"
    assert handlers.choose_template(own, event(text="something else")) == gr.skip()


def test_a_table_that_is_dropped_makes_a_set_of_its_own(
    services, view, handlers, values, event, uploads, files
):
    import pyarrow
    from pyarrow.parquet import write_table

    table = uploads / "owls.parquet"
    rows = {"image": [file.read_bytes() for file in files], "text": ["an owl"] * len(files)}
    write_table(pyarrow.table(rows), table)
    both = [{"path": str(table), "name": "owls.parquet"}, {"path": str(files[0]), "name": "a.png"}]
    with pytest.raises(gr.Error):
        handlers.drop(values(name="owls"), event(files=both[:1] + both[:1], lost=[]))
    assert services.picture_sets.names() == []
    write_table(pyarrow.table(rows), table)
    told = handlers.drop(values(prompt="owls"), event(files=both[:1], lost=[]))
    [name] = services.picture_sets.names()
    assert told[view.launcher.form.fields["pictures"]].value == name
    assert services.picture_sets.summary(name).captioned == 5
    assert not table.exists(), "what was taken over is not kept twice"


def test_a_check_tells_what_is_wrong_and_a_press_mends_it(
    services, view, handlers, values, event, things
):
    folder = services.picture_sets.path(things)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    given = values(pictures=things, prompt="a thing")
    last = list(handlers.check(given))[-1]
    shown = last[view.launcher.health]
    assert 'data-act="fix"' in shown
    assert "broken.png" in shown
    assert "100 steps a picture x 5 pictures" in shown
    name, checked = last[view.launcher.report]
    assert name == things
    places = [n for n, each in enumerate(checked.report.findings) if "broken.png" in each.pictures]
    given[view.launcher.report] = last[view.launcher.report]
    told = list(handlers.act(given, event(act="fix", value=str(places[0]))))
    assert not (folder / "broken.png").exists()
    again = next(each for each in reversed(told) if view.launcher.report in each)
    assert 'data-act="undo"' in again[view.launcher.health]
    given[view.launcher.report] = again[view.launcher.report]
    list(handlers.act(given, event(act="undo")))
    assert (folder / "broken.png").exists()


def test_a_press_that_means_nothing_is_refused_in_words(view, handlers, values, event, things):
    with pytest.raises(gr.Error, match="Choose or drop pictures first"):
        list(handlers.check(values()))
    last = list(handlers.check(values(pictures=things)))[-1]
    given = values(pictures=things) | {view.launcher.report: last[view.launcher.report]}
    for value in ("99", "x", "-1", ""):
        with pytest.raises(gr.Error, match="nothing to mend"):
            list(handlers.act(given, event(act="fix", value=value)))
    [closed] = handlers.act(given, event(act="close"))
    assert closed == {view.launcher.health: "", view.launcher.report: None}


def test_a_training_goes_into_the_line_or_is_refused(services, view, handlers, values, things):
    with pytest.raises(gr.Error, match="Choose or drop pictures first"):
        handlers.start(values(name="rex"))
    with pytest.raises(gr.Error, match="Name"):
        handlers.start(values(pictures=things))
    told = handlers.start(values(pictures=things, name="rex", prompt="a sks thing", steps="4"))
    assert told[view.launcher.subject].startswith("rex-")
    [row] = services.queue.unended("train")
    asked = services.queue.request(row)
    assert (asked.steps, asked.prompt, asked.pictures) == (4, "a sks thing", things)


def test_settings_go_out_as_toml_and_come_back(view, handlers, values, things):
    given = values(pictures=things, name="rex", rank=8, steps="123", learning_rate="0.0002")
    text = handlers.write(given)
    assert "rank = 8" in text
    updates = dict(zip(view.launcher.form.fields, handlers.read(text), strict=True))
    assert (updates["rank"], updates["steps"], updates["learning_rate"]) == (8, "123", "0.0002")
    assert updates["pictures"].value == things
    with pytest.raises(gr.Error, match="no TOML"):
        handlers.read("rank = = 8")
    with pytest.raises(gr.Error, match="nothing to read"):
        handlers.read(" ")


def test_a_file_of_kohya_is_read_and_what_was_left_out_is_told(
    view, handlers, tmp_path, monkeypatch
):
    heard = []
    monkeypatch.setattr(gr, "Warning", lambda text, **more: heard.append(text))
    file = tmp_path / "settings.toml"
    file.write_text('network_dim = 12\nnetwork_module = "networks.lora"\nsurprising = 3\n')
    text, *filled = handlers.open(str(file))
    updates = dict(zip(view.launcher.form.fields, filled, strict=True))
    assert "network_dim" in text
    assert updates["rank"] == 12
    assert any("surprising" in each for each in heard)


def test_a_written_file_is_that_of_the_run(services, handlers, values, things):
    given = values(pictures=things, name="rex", steps="4")
    handlers.start(given)
    [row] = services.queue.unended("train")
    asked = services.queue.request(row)
    assert "steps = 4" in write_toml(asked)
    assert handlers.free_name("rex") == "rex", "a run that has no folder yet takes no name"
