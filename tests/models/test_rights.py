"""Who may use which model, as the whole studio is put together: lists, requests and changes."""

import shutil
from pathlib import Path

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from studio.api.sdapi import routes as sdapi
from studio.api.v1 import routes as v1
from studio.diffusion.networks_called import loras_of
from studio.errors import Forbidden, ModelError, NotFound
from studio.models.rights import Rights
from studio.people import HOME, Person, Role, acting_as
from studio.requests import DownloadRequest, GenerationRequest
from studio.services import Services

ADA = Person(1, "ada", Role.MEMBER)
BOB = Person(2, "bob", Role.MEMBER)
ROOT = Person(3, "root", Role.ADMINISTRATOR)
WEIGHT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
PROMPT = "an apple <lora:style:0.5>"


@pytest.fixture
def models(services: Services, embedded: Path) -> Path:
    """The models folder with a LoRA and an own model, of which nothing is said yet."""
    root = services.settings.data_dir / "models"
    shutil.copytree(embedded, root / "large")
    (root / "loras").mkdir()
    [unet] = (embedded / "unet").glob("*.safetensors")
    out, states = load_file(unet)[WEIGHT].shape
    down, up = (f"unet.{WEIGHT}".replace("to_k", f"to_k.lora_{end}") for end in "AB")
    both = {down: torch.zeros(4, states), up: torch.zeros(out, 4)}
    save_file(both, root / "loras/style.safetensors")
    return root


@pytest.fixture
def rights(services: Services, models: Path) -> Rights:
    return services.rights


def listed(services: Services, person: Person) -> dict[str, set[str]]:
    """What a person finds, by the list in which it stands."""
    app = FastAPI()
    for each in (v1, sdapi):
        app.include_router(each.build_router(services))

    with acting_as(person), TestClient(app) as client:

        def names(address: str, field: str, inside: str = "") -> set[str]:
            told = client.get(address).json()
            return {each[field] for each in (told[inside] if inside else told)}

        return {
            "v1 models": names("/api/v1/models", "id", "models"),
            "v1 adapters": names("/api/v1/adapters", "name", "adapters"),
            "sdapi models": names("/sdapi/v1/sd-models", "model_name"),
            "sdapi loras": names("/sdapi/v1/loras", "name"),
            "catalogue": {each.id for each in services.catalogue.entries()},
            "library": {each.title for each in services.library.items()},
        }


def lists_with(services: Services, person: Person, name: str) -> set[str]:
    return {where for where, names in listed(services, person).items() if name in names}


def asked(services: Services, person: Person, **fields: str) -> GenerationRequest:
    with acting_as(person):
        job = services.queue.submit(GenerationRequest(**{"prompt": "an apple", **fields}))
        request = services.queue.request(services.queue.get(job))
    assert isinstance(request, GenerationRequest)
    return request


MODEL_LISTS = {"v1 models", "sdapi models", "catalogue", "library"}
LORA_LISTS = {"v1 adapters", "sdapi loras", "library"}


@pytest.mark.parametrize(
    ("kind", "item", "name", "lists", "fields"),
    [
        ("model", "large", "large", MODEL_LISTS, {"model": "large"}),
        ("LoRA", "loras/style.safetensors", "style", LORA_LISTS, {"prompt": PROMPT}),
    ],
    ids=["a model", "an adapter"],
)
def test_use_is_limited_to_people(services, rights, kind, item, name, lists, fields):
    titles = {each.id: each.title for each in services.library.items()}
    shown = {where: titles[item] if where == "library" else name for where in lists}
    for person in (ADA, BOB):
        found = listed(services, person)
        assert all(shown[where] in found[where] for where in lists)
    with acting_as(ROOT):
        rights.limit(kind, item, [BOB.id])
    for person in (BOB, ROOT, HOME):
        found = listed(services, person)
        assert all(shown[where] in found[where] for where in lists), person
        asked(services, person, **fields)
    hidden = listed(services, ADA)
    # The copy has the title of the model that ships, which everybody finds.
    for where in lists - ({"library"} if kind == "model" else set()):
        assert shown[where] not in hidden[where], where
    if kind == "model":
        with pytest.raises(ModelError, match="not installed"):
            asked(services, ADA, **fields)
    else:  # as a name that nobody has ever heard of, which is passed over with a notice
        loras = services.catalogue.loras
        assert loras_of(PROMPT, loras)
        with acting_as(ADA):
            assert not loras_of(PROMPT, loras)
    with acting_as(ADA), pytest.raises(ModelError):
        rights.get(kind, item)


def test_a_default_that_is_limited_is_another_one_for_others(services, rights):
    services.library.make_default("large")
    rights.limit("model", "large", [BOB.id])
    assert asked(services, BOB).model == "large"
    assert asked(services, ADA).model not in ("large", "")


def test_a_model_that_ships_can_be_limited_too(services, rights, embedded_id):
    rights.limit("model", embedded_id, [BOB.id])
    assert "v1 models" in lists_with(services, BOB, embedded_id)
    assert not lists_with(services, ADA, embedded_id) & (MODEL_LISTS - {"library"})


def test_a_name_means_the_same_for_everybody(services, rights, models):
    """Another file of that name does not take the place of one that somebody is not shown."""
    (models / "more").mkdir()
    shutil.copy(models / "loras/style.safetensors", models / "more/style.safetensors")
    names = {each.path: each.name for each in services.catalogue.loras.entries()}
    assert names[models / "more/style.safetensors"] == "more/style"
    rights.limit("LoRA", "loras/style.safetensors", [BOB.id])
    with acting_as(ADA):
        assert [each.name for each in services.catalogue.loras.entries()] == ["more/style"]
        assert services.catalogue.loras.find("style") is None


def test_who_has_made_a_model_shares_it(services, rights, models):
    with acting_as(ADA):
        services.catalogue.keep(models / "large")
    assert not lists_with(services, BOB, "large")
    with acting_as(BOB), pytest.raises(ModelError):
        rights.share("model", "large", True)
    with acting_as(ADA):
        rights.share("model", "large", True)
        assert rights.get("model", "large").shared
    assert asked(services, BOB, model="large").model == "large"
    with acting_as(BOB), pytest.raises(Forbidden, match="not yours to share"):
        rights.share("model", "large", False)
    with acting_as(ROOT):
        rights.share("model", "large", False)
    assert not lists_with(services, BOB, "large")


def test_what_is_everybodys_is_not_shared(rights):
    with pytest.raises(NotFound, match="everybody's already"):
        rights.share("model", "large", True)


def test_members_install_delete_and_set_nothing(services, rights, models):
    library = services.library
    with acting_as(ADA):
        for change in (
            lambda: library.make_default("large"),
            lambda: library.throw_away("model", "large"),
            lambda: library.describe("model", "large", "mine", ""),
            lambda: library.convert("model", "large"),
            lambda: rights.limit("model", "large", [ADA.id]),
            lambda: services.queue.submit(DownloadRequest(repo="someone/model")),
        ):
            with pytest.raises(Forbidden):
                change()
    assert (models / "large").is_dir()


def test_ones_own_model_can_be_thrown_away_and_taken_back(services, rights, models, embedded):
    library = services.library
    with acting_as(ADA):
        services.catalogue.keep(models / "large")
        key = library.throw_away("model", "large")
    with acting_as(BOB):
        assert library.thrown_away() == []
        for change in (library.take_back, library.delete):
            with pytest.raises(ModelError):
                change(key)
    with acting_as(ADA):
        assert [each.key for each in library.thrown_away()] == [key]
        library.take_back(key)
        assert "large" in {each.id for each in services.catalogue.entries()}
    assert not lists_with(services, BOB, "large")
    with acting_as(ROOT):
        library.delete(library.throw_away("model", "large"))
    shutil.copytree(embedded, models / "large")
    assert lists_with(services, BOB, "large"), "the name is free again"


def test_rights_over_the_api(services, rights):
    app = FastAPI()
    app.include_router(v1.build_router(services))
    item = {"kind": "model", "id": "large"}
    with TestClient(app, base_url="http://testserver/api/v1/") as client:
        with acting_as(ROOT):
            told = client.post("rights", json=item | {"people": [2]})
            assert told.status_code == 200
            assert client.get("rights", params=item).json()["people"] == [2]
        with acting_as(BOB):
            told = client.post("rights", json=item | {"people": []})
            assert (told.status_code, told.json()["title"]) == (403, "Forbidden")
            assert client.get("rights", params=item).json()["people"] == [2]
        with acting_as(ADA):
            assert client.get("rights", params=item).status_code == 422
