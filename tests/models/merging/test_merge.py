"""Merged models: every number against float64, what stays of A, and what does not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from loading import loader
from making import Bench, changed, tensors
from safetensors import safe_open
from safetensors.torch import save_file

from studio.errors import AtelierError, ModelError, RequestError
from studio.models.families import Network
from studio.models.merging.blocks import Blocks
from studio.models.merging.recipe import KEY, read_recipe

Take = Callable[..., None]
LAYOUTS = ("sd", "sd3", "flux-dev", "sdxl-file", "sd3-file", "flux-dev-file")
FORMULAS: dict[str, Callable[..., torch.Tensor]] = {
    "weighted sum": lambda a, b, c, m, n: (1 - m) * a + m * b,
    "weighted sum of three": lambda a, b, c, m, n: (1 - m - n) * a + m * b + n * c,
    "add difference": lambda a, b, c, m, n: a + m * (b - c),
}


def asked(key: str, **fields: object) -> dict[str, object]:
    return {"model_a": key, "model_b": f"{key}-b", "model_c": f"{key}-c", **fields}


def doubles(bench: Bench, *names: str) -> list[dict[str, torch.Tensor]]:
    return [
        {name: tensor.double() for name, tensor in tensors(bench.place(each)).items()}
        for each in names
    ]


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "method"),
    [
        *((key, "add difference") for key in LAYOUTS),
        *((key, method) for key in ("sd", "sdxl-file") for method in FORMULAS),
    ],
)
def test_every_number_is_the_formulas(bench: Bench, take: Take, key: str, method: str) -> None:
    take(key, f"{key}-b", f"{key}-c")
    heard = bench.merge(**asked(key, method=method, weight=0.3, weight_c=0.2))
    a, b, c = doubles(bench, key, f"{key}-b", f"{key}-c")
    made = tensors(bench.place("new"))
    assert list(made) == list(a)
    for name, tensor in made.items():
        expected = FORMULAS[method](a[name], b[name], c[name], 0.3, 0.2)
        if name.endswith("position_ids"):
            expected = a[name]
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-6, atol=1e-6, msg=name)
    assert bench.catalogue.get("new").problem == ""
    assert heard.progress[-1].step == heard.progress[-1].steps == len(made)
    assert heard.progress[-1].unit == "tensor"


@pytest.mark.parametrize("key", ["sd", "sdxl-file", "flux-dev"])
def test_what_is_made_can_be_loaded(bench: Bench, take: Take, key: str) -> None:
    take(key, f"{key}-b")
    bench.merge(model_a=key, model_b=f"{key}-b")
    loader(bench.root).load("new")


@pytest.mark.parametrize("key", ["sd", "sdxl-file", "flux-dev-file"])
def test_each_block_has_its_weight(bench: Bench, take: Take, key: str) -> None:
    take(key, f"{key}-b")
    network = Network.FLUX if "flux" in key else Network.UNET
    prefix = {"sd": "unet/", "sdxl-file": "model.diffusion_model."}.get(key, "")
    a, b = doubles(bench, key, f"{key}-b")
    inner = [name[len(prefix) :] for name in a if name.startswith(prefix)]
    blocks = Blocks(network, inner)
    given = [round(i / len(blocks.names), 3) for i in range(len(blocks.names))]
    bench.merge(model_a=key, model_b=f"{key}-b", weight=0.5, blocks=" ".join(map(str, given)))
    weights = dict(zip(blocks.names, given, strict=True)) | {"": 0.5}
    seen = set()
    for name, tensor in tensors(bench.place("new")).items():
        block = blocks.of(name[len(prefix) :]) if name.startswith(prefix) else ""
        seen.add(block)
        m = weights[block]
        expected = (1 - m) * a[name] + m * b[name]
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-6, atol=1e-6, msg=name)
    assert seen == set(weights)
    recipe = read_recipe(bench.place("new"))
    assert recipe is not None
    assert list(recipe.blocks.values()) == given


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32"])
def test_the_number_format_is_as_first_or_as_chosen(bench: Bench, take: Take, stored: str) -> None:
    take("sdxl-file", "sdxl-file-b")
    half = bench.root / "half.safetensors"
    changed(bench.place("sdxl-file"), half, lambda name, tensor: tensor.to(torch.float16))
    dtype = getattr(torch, stored)
    bench.merge(model_a="half", model_b="sdxl-file-b", weight=0.25)
    bench.merge(name="other", model_a="half", model_b="sdxl-file-b", weight=0.25, stored=stored)
    a, b = doubles(bench, "half", "sdxl-file-b")
    first, other = (tensors(bench.place(name)) for name in ("new", "other"))
    for name in a:
        expected = (0.75 * a[name] + 0.25 * b[name]).float()
        assert (first[name].dtype, other[name].dtype) == (torch.float16, dtype)
        # One unit in the last place: float32 may round a tie the other way.
        for made in (first[name], other[name]):
            bits = {torch.float32: 2e-7, torch.float16: 1e-3, torch.bfloat16: 8e-3}[made.dtype]
            torch.testing.assert_close(made.float(), expected, rtol=bits, atol=1e-6, msg=name)


# --- inpainting models ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hole", "plain", "first"),
    [
        ("sd-inpaint", "sd", "unet/conv_in.weight"),
        (
            "sdxl-inpaint-file",
            "sdxl-file",
            "model.diffusion_model.input_blocks.0.0.weight",
        ),
    ],
)
def test_an_inpainting_model_is_made_of_any_other(
    bench: Bench, take: Take, hole: str, plain: str, first: str
) -> None:
    """As AUTOMATIC1111: the difference goes to the first four channels, five stay A's."""
    take(hole, plain, f"{plain}-b")
    names = {"model_a": hole, "model_b": f"{plain}-b", "model_c": plain}
    bench.merge(**names, method="add difference", weight=1)
    a, b, c = doubles(bench, hole, f"{plain}-b", plain)
    made = tensors(bench.place("new"))
    assert made[first].shape[1] == 9
    assert torch.equal(made[first][:, 4:].double(), a[first][:, 4:])
    for name, tensor in made.items():
        expected = a[name].clone()
        if name == first:
            expected[:, :4] += b[name] - c[name]
        else:
            expected += b[name] - c[name]
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-6, atol=1e-6, msg=name)
    entry = bench.catalogue.get("new")
    assert entry.family is not None
    assert entry.family.key.endswith("-inpaint")
    with pytest.raises(ModelError, match=r"choose the inpainting model as A"):
        bench.merge(name="else", model_a=plain, model_b=hole)


# --- what stays of A ------------------------------------------------------------------------------


def test_vae_and_text_encoders_can_stay(bench: Bench, take: Take) -> None:
    take("sdxl-file", "sdxl-file-b")
    bench.merge(model_a="sdxl-file", model_b="sdxl-file-b", merge_vae=False, merge_text=False)
    a, made = tensors(bench.place("sdxl-file")), tensors(bench.place("new"))
    for name in a:
        same = torch.equal(a[name], made[name])
        assert same == (not name.startswith("model.diffusion_model.")), name


def test_a_part_that_another_lacks_is_as_and_told(bench: Bench, take: Take) -> None:
    take("sdxl-file", "sdxl-file-b")
    vae = "first_stage_model."
    bare = bench.root / "bare.safetensors"
    changed(bench.place("sdxl-file-b"), bare, lambda name, t: None if name.startswith(vae) else t)
    (bench.root / "vae").mkdir()
    changed(
        bench.place("sdxl-file-b"),
        bench.root / "vae" / "vae.safetensors",
        lambda name, t: t if name.startswith(vae) else None,
    )
    names = (bench.root / "vae" / "vae.safetensors", bench.root / "vae" / "alone.safetensors")
    plain = {name.removeprefix(vae): tensor for name, tensor in tensors(names[0]).items()}
    names[0].unlink()
    save_file(plain, names[1])
    heard = bench.merge(model_a="sdxl-file", model_b="bare")
    assert heard.notices == ["The vae is model A's: another has none."]
    a, made = tensors(bench.place("sdxl-file")), tensors(bench.place("new"))
    assert all(torch.equal(a[name], made[name]) for name in a if name.startswith(vae))
    recipe = read_recipe(bench.place("new"))
    assert recipe is not None
    assert recipe.notes == ("vae is A's, as another has none",)


def test_a_card_comes_along_under_the_new_name(bench: Bench, take: Take) -> None:
    take("sdxl-file", "sd")
    card = 'title = "Old"\nsteps = 7\n'
    (bench.root / "sdxl-file.toml").write_text(card)
    (bench.root / "sd" / "atelier.toml").write_text(card)
    for key in ("sdxl-file", "sd"):
        bench.merge(name=f"new-{key}", model_a=key, model_b=key)
        entry = bench.catalogue.get(f"new-{key}")
        assert (entry.title, entry.steps) == (f"new-{key}", 7)


# --- the recipe -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sd", "sdxl-file"])
def test_the_recipe_is_in_the_result(bench: Bench, take: Take, key: str) -> None:
    take(key, f"{key}-b", f"{key}-c")
    fields = {"method": "add difference", "weight": 0.4, "merge_vae": False}
    bench.merge(**asked(key, **fields))
    path = bench.place("new")
    recipe = read_recipe(path)
    assert recipe is not None
    assert recipe.method == "add difference"
    assert [(each.role, each.id) for each in recipe.parents] == [
        ("A", key),
        ("B", f"{key}-b"),
        ("C", f"{key}-c"),
    ]
    for parent in recipe.parents:
        entry = bench.catalogue.get(parent.id)
        assert parent.sha256 == bench.catalogue.sha256(entry)
        assert len(parent.sha256) == 64
    assert [each.weight for each in recipe.parents] == [None, 0.4, None]
    assert recipe.settings["vae"] == "A"
    assert set(recipe.versions) == {"atelier", "torch", "safetensors"}
    assert recipe.told().startswith(f"add difference: A {key}, B {key}-b × 0.4, C {key}-c (2")
    if path.is_file():
        with safe_open(path, "pt") as file:
            assert KEY in file.metadata()
            assert file.metadata()["modelspec.title"] == "new"


def test_a_recipe_that_is_none_is_passed_over(tmp_path: Path) -> None:
    assert read_recipe(tmp_path / "gone.safetensors") is None
    (tmp_path / "atelier-recipe.json").write_text("[" * 100_000)
    assert read_recipe(tmp_path) is None
    (tmp_path / "atelier-recipe.json").write_text('{"method": 3}')
    assert read_recipe(tmp_path) is None


# --- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("sd", "nowhere", "Model 'nowhere' is not installed"),
        ("sd", "sdxl", "sdxl is Stable Diffusion XL, but sd is Stable Diffusion; choose"),
        ("flux-dev", "flux-schnell", "flux-schnell is FLUX.1 schnell, but flux-dev is FLUX.1 dev"),
        ("sdxl", "sdxl-file", "sdxl is a folder and sdxl-file a single file"),
        ("sdxl-file", "sdxl", "sdxl is a folder and sdxl-file a single file"),
        ("cut", "sdxl-file", "cut.safetensors is cut off"),
        ("sdxl-file", "cut", "cut.safetensors is cut off"),
        ("sdxl-file", "other", "other does not fit sdxl-file: it has [8, 64] in"),
        ("sdxl-file", "less", "less does not fit sdxl-file: it has no"),
        ("less", "sdxl-file", "sdxl-file does not fit less: it also has"),
        ("sdxl-file", "nan", "nan holds numbers that are none (NaN) in"),
        ("nan", "sdxl-file", "nan holds numbers that are none (NaN) in"),
        ("half", "large", "The result does not fit float16 in"),
    ],
)
def test_parents_that_do_not_fit(bench: Bench, take: Take, a: str, b: str, words: str) -> None:
    take("sd", "sdxl", "sdxl-file", "flux-dev", "flux-schnell")
    spoil(bench, a, b)
    before = bench.left()
    with pytest.raises(AtelierError) as caught:
        bench.merge(model_a=a, model_b=b)
    message = str(caught.value)
    assert words in message
    assert message.endswith(".")
    assert bench.left() - before <= {".merging"}


def spoil(bench: Bench, *names: str) -> None:
    """Copies of a model that are cut off, of other shapes, or hold what is no number."""
    source, late = bench.place("sdxl-file"), "model.diffusion_model.out.0.bias"
    last = "model.diffusion_model.out.2.weight"
    ways: dict[str, Callable[[str, torch.Tensor], object]] = {
        "less": lambda name, t: None if name == late else t,
        "other": lambda name, t: torch.zeros(8, 64) if name == late else t,
        "nan": lambda name, t: t * float("nan") if name == last else t,
        "large": lambda name, t: t * 0 + 300_000 if name == last else t,
        "half": lambda name, t: t.half(),
    }
    for name in names:
        path = bench.root / f"{name}.safetensors"
        if name in ways:
            changed(source, path, ways[name])
        elif name == "cut":
            path.write_bytes(source.read_bytes()[:-1000])


def test_weights_of_b_and_c_above_one(bench: Bench, take: Take) -> None:
    take("sd", "sd-b", "sd-c")
    with pytest.raises(RequestError, match=r"weights of B and C are 1\.2 together"):
        bench.merge(**asked("sd", method="weighted sum of three", weight=0.6, weight_c=0.6))
    with pytest.raises(RequestError, match="needs a model C"):
        bench.merge(model_a="sd", model_b="sd-b", method="add difference")
    with pytest.raises(RequestError, match="this model has 9 blocks"):
        bench.merge(model_a="sd", model_b="sd-b", blocks="0.5")
