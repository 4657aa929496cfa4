"""From drawings to a pipeline folder on six drawings and a tiny UNet: every stage for real."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from judge.judge import Judge
from simple_drawings import TINY

from training.embedded import __main__ as stage
from training.embedded import checkpoint, denoiser, recipes, workshop
from training.embedded import export as export_stage
from training.embedded import latents as bank_stage
from training.embedded import vae as vae_stage
from training.embedded.captions import Shown
from training.embedded.denoiser import (
    Run,
    Sampler,
    alphas,
    chosen,
    noised,
    one_step,
    timesteps,
    train,
    weights,
)
from training.embedded.evaluate import evaluate, table
from training.embedded.export import export
from training.embedded.latents import load_bank, pictures_of
from training.embedded.painter import PlainAttention, Words
from training.embedded.prompts import Wish, load
from training.embedded.recipes import SHIPPED
from training.embedded.split import pair_held_out, style_held_out
from training.embedded.vae import latents_of
from training.embedded.variants import WHITE, beside

pytestmark = pytest.mark.slow


def test_the_bank_holds_what_its_index_says_and_nothing_held_out(ready):
    bank = load_bank()
    assert len(bank.whole) == len(bank.shown)
    assert set(bank.kinds) == {"plain", "coloured", "grounded", "both"}
    assert bank.half.shape[1:] == (4, 16, 8)
    for kind, rows in bank.kinds.items():
        for row in rows:
            shown = bank.shown[row]
            assert bool(shown.colour) == (kind in ("coloured", "both"))
            assert bool(shown.ground) == (kind in ("grounded", "both"))
            assert not style_held_out(shown.thing, shown.style)
            assert not (shown.colour and bank_stage.colour_held_out(shown.thing, shown.colour))
            assert not (shown.ground and bank_stage.ground_held_out(shown.thing, shown.ground))


@pytest.mark.usefixtures("ready")
def test_two_halves_are_nearly_the_latents_of_the_whole_picture():
    """Nearly, for the norms of an autoencoder look at the whole picture."""
    vae = vae_stage.build(SHIPPED / "vae").eval()
    (thing, icon, one), (_, _, other) = list(bank_stage.drawings())[:9:8]
    made = {(kind, shown.ground): pixels for kind, shown, pixels in pictures_of((thing, icon, one))}
    left = np.rint(beside(one, WHITE, False) * 255).astype("u1")
    assert np.array_equal(made["left", ""], left[:, : bank_stage.HALF_SEEN])
    right = beside(other, WHITE, True)
    whole = np.where(np.arange(128)[None, :, None] < 64, left / 255, right)

    def encoded(pixels):
        pixels = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() * 2 - 1
        with torch.inference_mode():
            return latents_of(vae, pixels)

    halves = [
        encoded(left[:, : bank_stage.HALF_SEEN] / 255)[..., :8],
        encoded(right[:, -bank_stage.HALF_SEEN :])[..., -8:],
    ]
    apart = (torch.cat(halves, -1) - encoded(whole)).abs()
    assert apart.mean() < 0.12 * encoded(whole).std()


def test_a_run_that_was_killed_ends_as_one_that_was_not(words):
    sampler, table_ = Sampler(load_bank(), TINY), alphas()

    def steps(run, count):
        for _ in range(count):
            one_step(run, sampler, words, table_, 1.0)

    for recipe in (TINY, replace(TINY, optimizer="muon"), replace(TINY, text_rate=0.0)):
        name = f"{recipe.optimizer}-{recipe.text_rate}"
        straight = Run.open(f"straight-{name}", recipe, words)
        steps(straight, 4)
        first = Run.open(f"halved-{name}", recipe, words)
        steps(first, 2)
        first.seconds = 33.5
        first.save()
        steps(first, 1)  # lost with the kill
        again = Run.open(f"halved-{name}", recipe, words)
        assert (again.step, again.seconds) == (2, 33.5)
        steps(again, 2)
        for one, other in (
            (straight.painter.state_dict(), again.painter.state_dict()),
            (straight.mean.tensors, again.mean.tensors),
        ):
            assert all(torch.equal(one[key], other[key]) for key in one)


def test_plain_attention_is_the_fused_one_and_its_gradients_reach_the_words(words):
    painter = Run.open("attention", TINY, words).painter
    noisy, t = torch.randn(2, 4, 16, 16), torch.tensor([5, 900])
    ids = words.ids(["a cat", "a blue dog"])

    def made(processor):
        painter.unet.set_attn_processor(processor)
        painter.zero_grad()
        out = painter(noisy, t, ids)
        out.square().mean().backward()
        return out.detach(), {name: w.grad.clone() for name, w in painter.named_parameters()}

    (plain, plain_grads), (fused, grads) = made(PlainAttention()), made(AttnProcessor2_0())
    assert torch.allclose(plain, fused, atol=1e-5)
    for name, grad in grads.items():
        assert torch.allclose(plain_grads[name], grad, atol=1e-5), name
    assert plain_grads["text.embeddings.token_embedding.weight"].abs().max() > 0


class Halved(torch.autograd.Function):
    """What it is given, with half its gradient: a fault that shows in no picture."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda noisy, states: (noisy, states), ""),
        (lambda noisy, states: (noisy, states.detach()), "the text encoder gradients .* 100.0%"),
        (lambda noisy, states: (noisy, Halved.apply(states)), "the text encoder .* 50.0%"),
        (lambda noisy, states: (noisy.flip(0), states), "the UNet gradients"),
    ],
    ids=["sound", "without words", "half the words", "another picture"],
)
def test_compiled_steps_are_taken_only_with_the_gradients_of_plain_ones(
    words, ready, monkeypatch, fault, told
):
    """In bfloat16 the words had none, and only the probe told it."""
    calls = []

    def compiled(forward, **options):
        def quick(noisy, t, states, **more):
            calls.append(options)
            noisy, states = fault(noisy, states)
            return forward(noisy, t, states, **more)

        return quick

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setenv("EMBEDDED_COMPILE", "1")
    run = Run.open("compiled", TINY, words)
    names = set(run.painter.state_dict())
    if told:
        with pytest.raises(SystemExit, match=told):
            train(run, words, minutes=0, cool_steps=3)
        return
    train(run, words, minutes=0, cool_steps=3)
    assert len(calls) > 1, "the steps themselves are compiled, too"
    assert set(run.painter.state_dict()) == names, "checkpoints fit runs that are not compiled"
    frozen = Run.open("frozen", replace(TINY, text_rate=0.0), words)
    train(frozen, words, minutes=0, cool_steps=1)
    plain = Run.open("plain", TINY, words)
    monkeypatch.delenv("EMBEDDED_COMPILE")
    train(plain, words, minutes=0, cool_steps=3)
    for name, weight in plain.painter.state_dict().items():
        assert torch.allclose(weight, run.painter.state_dict()[name], atol=1e-6), name


def test_attention_grows_into_a_run_without_a_change(words):
    """A run goes on with attention where it had none: the same picture, a new optimizer."""
    sampler, table_ = Sampler(load_bank(), TINY), alphas()
    small = Run.open("small", replace(TINY, attention=(False, False, True)), words)
    one_step(small, sampler, words, table_, 1.0)
    small.save()
    noisy, t = torch.randn(2, 4, 16, 16), torch.tensor([5, 900])
    ids = words.ids(["a cat", "a dog"])
    grown = Run.open("small", replace(TINY, attention=(True, True, True)), words)
    with torch.no_grad():
        before, after = small.painter(noisy, t, ids), grown.painter(noisy, t, ids)
    assert torch.allclose(before, after, atol=1e-5)
    assert (grown.step, grown.began) == (1, 1)
    one_step(grown, sampler, words, table_, 1.0)
    new = "unet.down_blocks.0.attentions.0.proj_out.weight"
    assert grown.painter.state_dict()[new].abs().max() > 0
    grown.save()
    again = Run.open("small", replace(TINY, attention=(True, True, True)), words)
    assert (again.step, again.began) == (2, 1)
    assert torch.equal(again.painter.state_dict()[new], grown.painter.state_dict()[new])
    with pytest.raises(SystemExit, match="The weights are of another network: "):
        Run.open("small", replace(TINY, attention=(False, False, True)), words)


def test_in_bfloat16_a_step_is_nearly_the_same(words, monkeypatch):
    sampler, table_ = Sampler(load_bank(), TINY), alphas()

    def loss(name):
        return one_step(Run.open(name, TINY, words), sampler, words, table_, 1.0)

    monkeypatch.setattr(workshop, "bfloat16_pays", lambda: False)
    exact = loss("exact")
    monkeypatch.setattr(workshop, "bfloat16_pays", lambda: True)
    rounded = loss("rounded")
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.02)


def test_training_lowers_the_loss_and_writes_its_curve(words, ready):
    run = Run.open("run", replace(TINY, unet_rate=2e-3), words)
    train(run, words, minutes=0, cool_steps=25)
    assert run.step == 25
    lines = (ready / "runs" / "run" / "curve.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["step", "minutes", "train", "probe"]
    assert float(lines[-1].split("\t")[3]) < 1.1


def test_a_rate_that_falls_goes_on_falling_after_a_kill(words, monkeypatch):
    unbroken = Run.open("unbroken", TINY, words)
    train(unbroken, words, minutes=0, cool_steps=5)
    factors = []

    def killed(run, sampler, words, table, factor):
        factors.append(factor)
        if factors == [1.0, 0.8, 0.6]:
            raise KeyboardInterrupt
        return one_step(run, sampler, words, table, factor)

    monkeypatch.setattr(denoiser, "one_step", killed)
    monkeypatch.setattr(denoiser, "SAVE_EVERY", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(Run.open("killed", TINY, words), words, minutes=0, cool_steps=5)
    again = Run.open("killed", TINY, words)
    train(again, words, minutes=0, cool_steps=5)
    assert factors == [1.0, 0.8, 0.6, 0.6, 0.4, 0.2]
    for name, weight in unbroken.painter.state_dict().items():
        assert torch.equal(weight, again.painter.state_dict()[name]), name
    train(again, words, minutes=0, cool_steps=5)
    assert (again.step, len(factors)) == (5, 6), "it is over"


def test_a_branch_of_a_run_is_cooled_anew_and_leaves_it_alone(words, ready, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    monkeypatch.setattr(stage, "_threads", lambda: None)  # it changes torch for the whole process
    monkeypatch.setattr(export_stage, "tokenizer_folder", lambda _: words.tokenizer.name_or_path)
    runs = ready / "runs"

    def cooled(name, **options):
        stage.train(name, recipe="tiny", **options)
        return Run.open(name, TINY, words)

    first = cooled("first", cool=2)
    assert (first.step, first.cooled_from) == (2, 0)
    kept = (runs / "first" / "state.safetensors").read_bytes()
    branch = cooled("branch", cool=3, after="first")
    assert (branch.step, branch.cooled_from) == (5, 2)
    assert cooled("branch", cool=3, after="first").step == 5, "it is over, and not begun again"
    assert (runs / "first" / "state.safetensors").read_bytes() == kept
    curve = (runs / "branch" / "curve.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in curve] == ["step", "2", "5"]
    assert cooled("branch", minutes=0).cooled_from == -1
    again = cooled("branch", cool=1)
    assert (again.step, again.cooled_from) == (7, 6)
    with workshop.alone("branch"), pytest.raises(SystemExit, match="'branch' is being trained"):
        cooled("branch", cool=1)
    with pytest.raises(SystemExit, match="There is no run 'nothing' to start 'other' from"):
        cooled("other", after="nothing")
    assert not (runs / "other").exists()


def test_a_blend_is_half_way_between_two_runs_and_leaves_them_alone(words, ready, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    monkeypatch.setattr(export_stage, "tokenizer_folder", lambda _: words.tokenizer.name_or_path)
    one = Run.open("one", TINY, words)
    train(one, words, minutes=0)
    one.branch("other")
    train(one, words, minutes=0, cool_steps=3)
    kept = {
        run: (ready / "runs" / run / "state.safetensors").read_bytes() for run in ["one", "other"]
    }
    stage.blend("one", "other", "between", recipe="tiny")
    for run, before in kept.items():
        assert (ready / "runs" / run / "state.safetensors").read_bytes() == before
    first, second, between = (Run.open(name, TINY, words) for name in ("one", "other", "between"))
    assert (between.step, between.cooled_from) == (second.step, -1)
    ends = first.painter.state_dict(), second.painter.state_dict()
    for key, value in between.painter.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, (ends[0][key] + ends[1][key]) / 2, atol=1e-6), key
            assert torch.equal(between.mean.tensors[key], value), key
    assert not torch.equal(ends[0]["unet.conv_out.weight"], ends[1]["unet.conv_out.weight"])
    with pytest.raises(SystemExit, match="There is a run 'one' already"):
        stage.blend("other", "between", "one", recipe="tiny")
    assert (ready / "runs" / "one" / "state.safetensors").read_bytes() == kept["one"]
    for pair in (("nothing", "one"), ("one", "nothing")):
        with pytest.raises(SystemExit, match="There is no run 'nothing'"):
            stage.blend(*pair, "never", recipe="tiny")
    assert not (ready / "runs" / "never").exists()


def test_what_is_exported_loads_in_every_type_and_draws(words, ready, capsys):
    run = Run.open("run", TINY, words)
    train(run, words, minutes=0, cool_steps=1)
    folder = ready / "out"
    export("run", TINY, folder)
    stored = {f.parent.name for f in folder.glob("*/*.safetensors")}
    assert stored == {"unet", "vae", "text_encoder"}
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    assert scheduler["clip_sample"] is False
    assert scheduler["prediction_type"] == "v_prediction"
    assert (folder / "tokenizer" / "vocab.json").is_file()
    for options in ({}, *({"dtype": d} for d in (torch.float32, torch.bfloat16, torch.float16))):
        pipe = StableDiffusionPipeline.from_pretrained(folder, **options)
        pipe.set_progress_bar_config(disable=True)
        image = pipe("a blue cat", num_inference_steps=2, width=128, height=128).images[0]
        assert image.size == (128, 128)
    evaluate(folder, "gate", seeds=(1,), cfg=1.0, steps=1)
    printed = capsys.readouterr().out
    assert "| things | 0.0% of 32 |" in printed, "random weights draw nothing"
    assert (ready / "drawn" / "out-gate-cfg1" / "seed-1.png").is_file()
    with pytest.raises(SystemExit, match="There is no run 'other'"):
        export("other", TINY, folder)


@pytest.mark.parametrize(("cool", "kept"), [(0, "mean"), (3, "model")])
def test_a_run_whose_rate_has_fallen_is_exported_as_it_is_and_others_as_their_mean(
    words, ready, cool, kept
):
    run = Run.open("run", TINY, words)
    train(run, words, minutes=0)
    train(run, words, minutes=0, cool_steps=cool)
    export("run", TINY, ready / "out")
    tensors, _ = checkpoint.load(ready / "runs" / "run" / "state.safetensors")
    name = "conv_out.weight"
    sides = {side: checkpoint.pick(tensors, side)[f"unet.{name}"] for side in ("mean", "model")}
    assert not torch.equal(sides["mean"].half(), sides["model"].half())
    unet = UNet2DConditionModel.from_pretrained(ready / "out", subfolder="unet", dtype=torch.half)
    assert torch.equal(unet.state_dict()[name], sides[kept].half())


def test_pairs_that_are_held_out_are_never_drawn(words):
    sampler = Sampler(load_bank(), TINY)
    rng = np.random.default_rng(0)
    seen = {sampler.pair(rng)[1] for _ in range(60)}
    assert all(text == "" or " and " in text for text in seen)
    for step in range(8):
        assert sampler.batch(step).texts == sampler.batch(step).texts
    assert pair_held_out("apple", "umbrella") or any("apple" in text for text in seen)


def test_timesteps_are_spread_and_shift_towards_less_noise():
    generator = torch.Generator().manual_seed(0)
    even, low = (timesteps(1000, shift, generator).float() for shift in (1.0, 0.5))
    assert even.mean() == pytest.approx(500, abs=5)
    assert low.mean() < 420
    assert 0 <= low.min() <= low.max() <= 999


def test_velocity_and_weights_are_those_of_the_papers():
    alpha = torch.tensor([0.9, 0.5, 0.1]).view(-1, 1, 1, 1)
    x, noise = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    noisy, velocity = noised(x, noise, alpha)
    assert torch.allclose(alpha.sqrt() * noisy - (1 - alpha).sqrt() * velocity, x, atol=1e-5)
    assert weights(alpha, 5.0).flatten().tolist() == pytest.approx([0.5, 0.5, 1 / 9 / (10 / 9)])
    assert (weights(alpha, 0.0) == 1).all()
    table_ = alphas()
    assert float(table_[-1]) == pytest.approx(0.0047, abs=1e-4)


def test_long_captions_keep_all_their_tokens():
    words = Words(SHIPPED / "tokenizer")
    assert words.ids(["a cat", "a dog"], 32).shape == (2, 32)
    assert words.ids(["a cat", "a dog " * 30], 32).shape == (2, 77)


def test_the_fixed_prompts_are_whole():
    gate, final = load("gate"), load("final")
    assert (len(gate), len(final)) == (48, 200)
    names = {thing.name for thing in chosen(150)}
    assert {wish.thing for wish in gate} | {w.other for w in gate if w.other} <= names
    plain = [w for w in final if not (w.colour or w.ground or w.style or w.other)]
    assert len(plain) == 100
    assert sum(wish.held_out for wish in final) == 44
    assert len({wish.prompt for wish in final}) == 200


def test_changed_words_of_a_fixed_prompt_are_noticed(monkeypatch):
    monkeypatch.setattr(Wish, "prompt", property(lambda self: "something else"))
    with pytest.raises(ValueError, match="now gives 'something else'"):
        load("gate")


def test_the_table_counts_each_kind_by_itself():
    from training.embedded.evaluate import Verdict

    def verdict(wish, first, **more):
        facts = {"colour": None, "ground": None, "style": None, **more}
        return Verdict(wish, 1, "x", first, True, **facts)

    lines = table(
        [
            verdict(Wish("cat"), True),
            verdict(Wish("dog"), False),
            verdict(Wish("cat", colour="blue", held_out=True), True, colour=False),
            verdict(Wish("cat", other="dog"), True),
        ]
    )
    assert "| things | 50.0% of 2 | 100.0% of 2 |" in lines
    assert "| combinations, held out | 100.0% of 1 | 100.0% of 1 |" in lines
    assert "| combinations, seen | none asked | none asked |" in lines
    assert "| colour right | 0.0% of 1 | |" in lines
    assert Judge.load().things.size == 2333
    assert Shown("cat", "noto").colour == ""
