"""The Generate tab's handlers, called with plain values as the page would call them."""

import shutil
from pathlib import Path

import gradio as gr
import pytest
from page_events import defaults, sent

from studio.diffusion.samplers import SAMPLERS
from studio.requests import PROMPT_LIMIT, GenerationRequest, Sampler, Schedule
from studio.services import build_services
from tabs import generate
from tabs.blocks import size
from tabs.blocks.stage import PageJobs


def by_name(parts, updates: list) -> dict[str, object]:
    """Those of a form's updates that change something, by field name."""
    named = zip(parts.generate.form.fields, updates, strict=True)
    return {name: value for name, value in named if value != gr.skip()}


def shown(update: object) -> object:
    """The value that a component gets by an update."""
    return getattr(update, "value", update)


def told(update: gr.Dropdown) -> dict[str, object]:
    """What an update really says: only what was passed is sent to the page."""
    return update.constructor_args


# Submitting


def test_a_valid_form_becomes_a_queued_job_with_what_the_form_says(services, parts, handlers):
    values = defaults(parts.generate, prompt="a red apple", steps=3, seed=11)
    after = handlers.submit(values)
    page = after[parts.generate.jobs]
    assert after[parts.generate.told] == page.ids
    request = services.queue.request(services.queue.get(page.ids[0]))
    assert (request.prompt, request.steps, request.seed) == ("a red apple", 3, 11)
    assert services.queue.line().waiting == 1


def test_a_drawn_seed_is_stored(services, parts, handlers):
    page = handlers.submit(defaults(parts.generate, seed=-1))[parts.generate.jobs]
    assert services.queue.request(services.queue.get(page.ids[0])).seed >= 0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("steps", 0, "Steps must be greater than or equal to 1, but is 0."),
        ("steps", 151, "Steps must be less than or equal to 150, but is 151."),
        ("steps", None, "Steps"),
        ("width", 100, "needs a multiple of 8; the nearest is"),
        ("height", 65, "needs a multiple of 8; the nearest is 64."),
        ("width", 0, "Width"),
        ("width", 10**9, "Width"),
        ("cfg_scale", 0, "CFG scale"),
        ("cfg_scale", float("nan"), "CFG scale"),
        ("sampler", "Sampler 3000", "but is 'Sampler 3000'"),
        ("sampler", ["DDIM"], "Sampler"),
        ("schedule", "Sideways", "Schedule"),
        ("model", "no-such-model", "Model 'no-such-model' is not installed"),
        ("model", "../../etc", "is not installed"),
        ("prompt", "apple " * 1_700_000, "(10,200,000 characters)"),
        ("prompt", "(" * 200 + "x" + ")" * 200, "nests brackets"),
        ("prompt", " AND ".join("abcdefgh" * 6), "AND"),
        ("prompt", "nul \0", "NUL"),
        ("negative_prompt", 7, "Negative prompt"),
        ("seed", 2**53, "Seed"),
        ("seed", None, "Seed"),
        ("seed", 1.5, "Seed"),
        ("batch_size", 17, "Batch size"),
        ("batch_count", -1, "Batch count"),
        ("clip_skip", 13, "Clip skip"),
        ("variation_strength", 2, "Variation strength"),
        ("image_format", "gif", "Image format"),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence_and_nothing_is_queued(
    services, parts, handlers, field, value, words
):
    with pytest.raises(gr.Error) as caught:
        handlers.submit(defaults(parts.generate, **{field: value}))
    message = caught.value.message
    assert words in message
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 500
    assert not caught.value.print_exception
    assert services.queue.line().waiting == 0


def test_a_schedule_that_the_sampler_cannot_follow(services, parts, handlers):
    values = defaults(parts.generate, sampler="DDIM", schedule="Karras")
    with pytest.raises(gr.Error, match="choose one of Automatic, SGM Uniform"):
        handlers.submit(values)
    assert services.queue.line().waiting == 0


def test_too_many_steps_for_the_sampler(parts, handlers):
    with pytest.raises(gr.Error, match="'LCM' takes at most 50 steps"):
        handlers.submit(defaults(parts.generate, sampler="LCM", steps=60))


def test_a_full_queue(settings, parts):
    services = build_services(settings.model_copy(update={"max_waiting_jobs": 1}))
    handlers = generate.Handlers(services, parts.generate)
    handlers.submit(defaults(parts.generate))
    with pytest.raises(gr.Error, match="1 jobs are waiting already"):
        handlers.submit(defaults(parts.generate))
    services.stop()


def test_a_page_remembers_its_jobs_but_not_for_ever(parts, handlers):
    page = None
    for _ in range(23):
        values = defaults(parts.generate) | {parts.generate.jobs: page}
        page = handlers.submit(values)[parts.generate.jobs]
    assert len(page.ids) == len(set(page.ids)) == 20


# Following, cancelling and skipping


@pytest.mark.parametrize(
    ("told", "ids"),
    [
        (["a", "b"], ["a", "b"]),
        ([], []),
        (None, []),
        ("abc", []),
        ({"a": 1}, []),
        ([1, None, ["x"]], ["1", "None", "['x']"]),
        (["x" * 1000], ["x" * 64]),
        ([str(i) for i in range(100)], [str(i) for i in range(80, 100)]),
    ],
)
def test_of_what_the_browser_remembers_only_the_sensible_is_believed(handlers, told, ids):
    assert handlers.attach(told) == PageJobs(ids)


def test_the_job_of_another_page_is_let_go_for_one_of_its_own(handlers):
    page = handlers.attach({"borrowed": ["theirs"]})
    assert (page.ids, page.borrowed) == (["theirs"], True)
    page.current = "theirs"
    page.add("mine")
    assert (page.ids, page.current, page.borrowed) == (["mine"], "", False)
    page.add("mine too")
    assert page.ids == ["mine", "mine too"]
    assert handlers.attach({"borrowed": 7}).ids == handlers.attach({"else": []}).ids == []


def test_following_nothing_shows_an_empty_stage(handlers):
    [value] = handlers.follow(None)
    assert value["active"] is False
    assert value["items"] == ()


def test_cancelling_ends_a_job_that_waits_and_leaves_others_alone(services, parts, handlers):
    mine = handlers.submit(defaults(parts.generate))[parts.generate.jobs]
    other = handlers.submit(defaults(parts.generate))[parts.generate.jobs]
    views = handlers.follow(mine)
    assert next(views)["text"] == "Next in line"
    handlers.cancel(mine)
    assert [view["status"] for view in views][-1] == "cancelled"
    assert services.queue.get(other.ids[0]).status == "queued"


def test_cancel_and_skip_do_nothing_where_there_is_nothing(services, parts, handlers):
    for page in (None, PageJobs([])):
        handlers.cancel(page)
        handlers.skip(page)
    page = handlers.submit(defaults(parts.generate))[parts.generate.jobs]
    page.current = page.ids[0]
    handlers.skip(page)
    assert services.queue.get(page.ids[0]).status == "queued"


def test_cancelling_a_job_that_is_gone_says_so(handlers):
    with pytest.raises(gr.Error, match="There is no job 'gone'"):
        handlers.cancel(PageJobs(["gone"], current="gone"))


# The controls


def test_tokens_are_counted_while_one_types(handlers, embedded_id):
    count = handlers.count(composable=True)
    assert count("a red apple", embedded_id, 20) == "3 of 75 tokens"
    assert count("apple " * 100, embedded_id, 20) == "100 of 150 tokens"
    assert count("", embedded_id, 20) == ""
    assert count(None, None, None) == ""
    assert count("a AND b c", embedded_id, 20) == "2 of 75 tokens"
    assert handlers.count(composable=False)("a AND b c", embedded_id, 20) == "4 of 75 tokens"


def test_the_counter_says_what_is_wrong_and_never_shows_the_text_as_markup(handlers, embedded_id):
    count = handlers.count(composable=True)
    nested = "(" * 200 + "<img src=x>" + ")" * 200
    assert "nests brackets" in count(nested, embedded_id, 20)
    for text, model in ((nested, ""), ("x", "<img src=x>")):
        assert "<" not in count(text, model, 20)


def test_the_counter_does_not_count_what_is_far_too_long(handlers, embedded_id):
    said = handlers.count(composable=True)("apple " * 1_700_000, embedded_id, 20)
    assert said == f"10,200,000 characters; at most {PROMPT_LIMIT:,} are possible"


def test_choosing_a_model_brings_its_sizes_and_defaults(services, parts, handlers, embedded_id):
    entry = services.catalogue.get("")
    *updates, presets, examples = handlers.choose_model(embedded_id)
    changed = by_name(parts, updates)
    assert {name: shown(value) for name, value in changed.items()} == {
        "width": entry.width,
        "height": entry.height,
        "cfg_scale": entry.cfg_scale,
        "distilled_cfg_scale": 3.5,
        "steps": entry.steps,
        "sampler": entry.sampler,
        "schedule": "Automatic",
    }
    assert not changed["distilled_cfg_scale"].visible
    assert presets.choices == size.choices(entry)
    assert examples == list(entry.examples)


@pytest.mark.parametrize("model", ["gone", "../..", "<b>"])
def test_choosing_a_model_that_is_not_there(handlers, model):
    with pytest.raises(gr.Error, match="is not installed"):
        handlers.choose_model(model)


def test_choosing_a_damaged_model(settings, services, parts, handlers, embedded_id):
    folder = services.catalogue.get("").path
    own = settings.data_dir / "models" / "broken"
    shutil.copytree(folder, own, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(gr.Error, match=r"broken is damaged: .* copy it again\."):
        handlers.choose_model("broken")


@pytest.mark.parametrize("sampler", list(Sampler))
def test_a_sampler_offers_just_the_schedules_it_can_follow(handlers, sampler):
    update = handlers.choose_sampler(sampler.value, Schedule.KARRAS.value, "")
    offered = [value for _, value in update.choices]
    assert offered == [schedule.value for schedule in SAMPLERS[sampler].schedules]
    assert update.value == ("Karras" if "Karras" in offered else "Automatic")


@pytest.mark.parametrize("sampler", ["Sampler 3000", "", None, 7])
def test_a_sampler_that_does_not_exist(handlers, sampler):
    with pytest.raises(gr.Error, match="Sampler must be 'DDPM', 'DDIM'"):
        handlers.choose_sampler(sampler, "Automatic", "")


def test_an_example_becomes_the_prompt(handlers):
    assert handlers.example(sent(text="a red apple")) == "a red apple"
    assert handlers.example(sent()) == ""
    assert len(handlers.example(sent(text="x" * 10_000))) <= 200


# Settings that come back


def test_settings_survive_a_reload(parts, handlers, embedded_id):
    saved = {
        "model": embedded_id,
        "prompt": "a red apple",
        "sampler": "Euler",
        "schedule": "Karras",
        "steps": 33,
        "cfg_scale": 6.5,
        "seed": 4,
    }
    changed = by_name(parts, handlers.restore(saved))
    assert {name: shown(value) for name, value in changed.items()} == saved


@pytest.mark.parametrize(
    "saved",
    [
        None,
        "nonsense",
        [],
        7,
        {"model": "<script>", "sampler": "x", "schedule": "y", "steps": -5, "seed": "Infinity"},
        {"prompt": {"value": "x", "__type__": "update"}, "kind": "train"},
        {"width": 10**30, "height": None, "cfg_scale": [], "image_format": "exe"},
    ],
)
def test_hostile_stored_values_change_nothing(parts, handlers, saved):
    changed = by_name(parts, handlers.restore(saved))
    assert "value" not in told(changed.pop("model"))
    assert all(value is None for value in changed.values()), changed


def test_of_stored_values_the_valid_ones_are_used(parts, handlers):
    changed = by_name(parts, handlers.restore({"steps": -5, "prompt": "<b>`${x}", "seed": 5}))
    assert "value" not in told(changed.pop("model"))
    assert changed == {"prompt": "<b>`${x}", "seed": 5}


def test_a_stored_schedule_that_its_sampler_cannot_follow_becomes_automatic(parts, handlers):
    changed = by_name(parts, handlers.restore({"sampler": "DDIM", "schedule": "Karras"}))
    assert shown(changed["schedule"]) == "Automatic"


def test_a_schedule_without_a_sampler_can_be_shown(parts, handlers):
    changed = by_name(parts, handlers.filled({"schedule": Schedule.BETA}))
    assert shown(changed["schedule"]) == "Beta"
    assert ("Beta", "Beta") in changed["schedule"].choices


def test_a_damaged_model_is_not_restored(settings, services, parts, handlers):
    own = settings.data_dir / "models" / "broken"
    own.mkdir()
    (own / "model_index.json").write_text("{")
    changed = by_name(parts, handlers.restore({"model": "broken", "seed": 5}))
    assert "value" not in told(changed["model"])
    assert "broken" not in [model_id for _, model_id in changed["model"].choices]
    assert changed["seed"] == 5


def test_a_model_that_was_added_since_the_start_can_be_chosen(
    settings, services, parts, handlers, embedded_id
):
    embedded = services.catalogue.get(embedded_id).path
    shutil.copytree(embedded, settings.data_dir / "models" / "mine")
    changed = by_name(parts, handlers.restore({}))
    assert "mine" in [model_id for _, model_id in changed["model"].choices]


def test_all_settings_of_a_saved_picture_come_back(services, parts, handlers, saved):
    made = {"prompt": "a blue cat", "sampler": "Euler", "schedule": "Karras", "steps": 9, "seed": 3}
    output_id = saved(**made, preview_every=0, image_format="webp", clip_skip=2)
    changed = by_name(parts, handlers.use_settings(sent(id=output_id)))
    assert {name: shown(changed[name]) for name in made} == made
    assert changed["clip_skip"] == 2
    assert not {"preview_every", "image_format"} & set(changed)
    assert set(changed) == set(parts.generate.form.fields) - {"preview_every", "image_format"}
    assert handlers.reuse_seed(sent(id=output_id)) == 3


def test_the_model_of_a_saved_picture_may_be_gone_by_now(
    settings, services, parts, handlers, saved, embedded_id
):
    own = settings.data_dir / "models" / "mine"
    shutil.copytree(services.catalogue.get(embedded_id).path, own)
    output_id = saved(model="mine", seed=3)
    assert by_name(parts, handlers.use_settings(sent(id=output_id)))["model"].value == "mine"
    shutil.rmtree(own)
    with pytest.warns(UserWarning, match="Model 'mine' is not installed here"):
        changed = by_name(parts, handlers.use_settings(sent(id=output_id)))
    assert "model" not in changed
    assert changed["seed"] == 3


@pytest.mark.parametrize(
    "value", [0, -1, 10**6, 2**63, 10**40, "1", "1 OR 1=1", None, True, 1.0, [1], {"id": 1}]
)
def test_an_id_that_is_no_picture_is_told_in_words(handlers, saved, value):
    saved()
    for handler in (handlers.use_settings, handlers.reuse_seed):
        with pytest.raises(gr.Error) as caught:
            handler(sent(id=value))
        assert caught.value.message.endswith(".")


def test_an_event_without_an_id_is_told_in_words(handlers):
    with pytest.raises(gr.Error, match="There is no picture -1"):
        handlers.use_settings(sent())


def test_the_last_seed_is_that_of_the_newest_picture(services, handlers, saved):
    assert handlers.last_seed(None) == gr.skip()
    assert handlers.last_seed(PageJobs(["gone"])) == gr.skip()
    jobs = [services.outputs.get(saved(seed=seed)).job_id for seed in (5, 6)]
    empty = services.queue.submit(GenerationRequest())
    assert handlers.last_seed(PageJobs([*jobs, empty])) == 6


def test_settings_pasted_into_the_prompt(parts, handlers):
    text = "a red apple\nNegative prompt: worm\nSteps: 12, Sampler: Euler, CFG scale: 5, Seed: 77"
    with pytest.warns(UserWarning, match="drawn on a graphics card"):
        changed = by_name(parts, handlers.pasted(text))
    assert (changed["prompt"], changed["negative_prompt"]) == ("a red apple", "worm")
    assert (changed["steps"], changed["seed"], shown(changed["sampler"])) == (12, 77, "Euler")


@pytest.mark.parametrize("text", ["", None, "{", '{"a": 1}', "\0", "<b>" * 10_000])
def test_text_without_settings(handlers, text):
    with pytest.raises(gr.Error) as caught:
        handlers.pasted(text)
    assert caught.value.title == "No settings found"
    assert caught.value.message.endswith(".")


def test_a_dropped_text_file(uploads: Path, handlers):
    (uploads / "note.txt").write_text("no picture")
    with pytest.raises(gr.Error, match=r"note\.txt"):
        handlers.dropped(sent(path=str(uploads / "note.txt"), name="note.txt"))
