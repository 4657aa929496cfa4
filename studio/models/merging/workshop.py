"""Where new models are made: the work functions of merging, extracting, baking and resizing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from studio.context import Context
from studio.errors import ModelError, RequestError
from studio.events import Notice
from studio.model_requests import (
    BakeRequest,
    ExtractRequest,
    MergeMethod,
    MergeRequest,
    RankMethod,
    ResizeRequest,
    StoredAs,
)
from studio.models.adapters import Lora
from studio.models.catalogue import SHELVES, Catalogue
from studio.models.merging.blocks import written
from studio.models.merging.merge import check_alike, merged_tensor, planned
from studio.models.merging.output import FORMATS, Meter, Writer, check_free, check_room, staged
from studio.models.merging.parents import Parent
from studio.models.merging.recipe import Ingredient, Recipe, metadata
from studio.models.merging.resize import bytes_needed, read_pairs, resized
from studio.models.merging.rewrite import rewritten, target
from studio.models.merging.state import save_state

if TYPE_CHECKING:
    from studio.models.merging.extract import Layer

_LORAS = "loras"
_NOTES = 8192
"""Bytes of a LoRA's metadata, at most."""


class Workshop:
    """Makes models out of the catalogue's in the models folder.

    Every work function raises ModelError, RequestError or StorageError in words, and Cancelled
    before the next tensor; of a model that was not finished nothing is left.
    """

    def __init__(self, catalogue: Catalogue, root: Path):
        self._catalogue = catalogue
        self._root = root

    def resolve_merge(self, request: MergeRequest) -> MergeRequest:
        """The request with its block weights as numbers, once it is known that it can be done."""
        with self._opened(_roles(request)) as parents:
            self._check_name(request.name, target(self._root, parents[0], request.name))
            plan = planned(request, parents)
        return request.model_copy(
            update={"blocks": written(plan.weights), "blocks_c": written(plan.weights_c)}
        )

    def merge(self, request: MergeRequest, context: Context) -> None:
        """Write a merged model."""
        roles = _roles(request)
        with self._opened(roles) as parents:
            plan, first = planned(request, parents), parents[0]
            meter = _meter(context, "merge", first)
            three = request.method is MergeMethod.THREE
            weights = (None, request.weight, request.weight_c if three else None)
            recipe = Recipe(
                method=request.method.value,
                parents=tuple(
                    self._ingredient(role, parent, context, weight)
                    for (role, _), parent, weight in zip(roles, parents, weights, strict=False)
                ),
                settings={
                    "vae": "merged" if request.merge_vae else "A",
                    "text encoders": "merged" if request.merge_text else "A",
                    "stored": request.stored.value,
                },
                blocks=plan.weights,
                blocks_c=plan.weights_c,
                notes=tuple(f"{part} is A's, as another has none" for part in plan.kept),
            ).dated()
            for part in plan.kept:
                context.emit(
                    Notice(text=f"The {part.replace('_', ' ')} is model A's: another has none.")
                )
            meter.begin()
            rewritten(
                first,
                self._mine(target(self._root, first, request.name)),
                recipe,
                lambda key, tensor: merged_tensor(request, plan, parents, key, tensor),
                root=self._root,
                stored=request.stored.value,
                meter=meter,
            )

    def resolve_bake(self, request: BakeRequest) -> BakeRequest:
        """The request with a strength for each LoRA, once it is known that all of them fit."""
        self._loras(request)
        with self._opened((("base", request.model),)) as (base,):
            self._check_name(request.name, target(self._root, base, request.name))
        return request.model_copy(update={"strengths": tuple(each for _, each in request.worn)})

    def bake(self, request: BakeRequest, context: Context) -> None:
        """Write a model with LoRAs in its weights."""
        from studio.models.merging.bake import Baked

        loras = self._loras(request)
        with self._opened((("base", request.model),)) as (base,):
            meter = _meter(context, "bake", base)
            baked = Baked(base, loras)
            for name in baked.left_out:
                context.emit(
                    Notice(
                        text=f"What LoRA {name!r} has for a text encoder is left out: this model "
                        "takes its text encoder from another file."
                    )
                )
            recipe = Recipe(
                method="baked",
                parents=(
                    self._ingredient("base", base, context),
                    *(
                        Ingredient(
                            role="LoRA",
                            id=lora.name,
                            sha256=self._catalogue.sha256_of(lora, context.check),
                            weight=strength,
                        )
                        for lora, strength in loras
                    ),
                ),
                settings={"stored": request.stored.value},
                notes=tuple(f"text encoders without {name}" for name in baked.left_out),
            ).dated()
            meter.begin()
            rewritten(
                base,
                self._mine(target(self._root, base, request.name)),
                recipe,
                baked.tensor,
                root=self._root,
                stored=request.stored.value,
                meter=meter,
            )

    def resolve_extract(self, request: ExtractRequest) -> ExtractRequest:
        """The request, once it is known that it can be done."""
        with self._opened((("base", request.base), ("tuned", request.tuned))) as (base, tuned):
            check_alike(base, tuned, holes=False)
        self._check_name(request.name, self._lora_place(request.name))
        return request

    def extract(self, request: ExtractRequest, context: Context) -> None:
        """Write a LoRA of what one model has learnt beyond another."""
        from studio.models.merging.extract import layers

        with self._opened((("base", request.base), ("tuned", request.tuned))) as (base, tuned):
            check_alike(base, tuned, holes=False)
            listed = layers(base, tuned, text=request.text)
            for layer in listed:
                one, other = (each.tensors[layer.rows.key].shape for each in (base, tuned))
                if one != other:
                    raise ModelError(
                        f"{tuned.called} does not fit {base.called}: "
                        f"{layer.rows.key.name} is {list(other)} and not {list(one)}; choose the "
                        "model that it was made from."
                    )
            numbers = sum(layer.numbers(request.rank) for layer in listed)
            meter = Meter(context, "extract", len(listed), numbers)
            recipe = Recipe(
                method="LoRA extraction",
                parents=(
                    self._ingredient("tuned", tuned, context),
                    self._ingredient("base", base, context),
                ),
                settings={
                    "rank": request.rank,
                    "clamp": request.clamp,
                    "text encoders": request.text,
                    "stored": request.stored.value,
                },
            ).dated()
            meter.begin()
            self._write_lora(request, (base, tuned), listed, recipe, meter, context)

    def _write_lora(
        self,
        request: ExtractRequest,
        models: tuple[Parent, Parent],
        listed: "Sequence[Layer]",
        recipe: Recipe,
        meter: Meter,
        context: Context,
    ) -> None:
        import torch

        from studio.models.merging import extract

        base, tuned = models
        names = [name for layer in listed for name in (*layer.names(), f"{layer.name}.alpha")]
        needed = 4 * sum(layer.numbers(request.rank) for layer in listed)
        dtype = getattr(torch, request.stored.value)
        missed = total = 0.0
        place = self._mine(self._lora_place(request.name))
        with staged(self._root, place, needed) as made, Writer(made, names, _NOTES) as writer:
            for layer in listed:
                delta = extract.difference(layer, tuned, base)
                found = extract.matrices(delta, request.rank, request.clamp)
                if found is not None:
                    for name, tensor in extract.tensors(layer, found, dtype):
                        writer.add(name, tensor, FORMATS[request.stored.value])
                    missed, total = missed + found.missed, total + found.total
                meter.next(layer.numbers(request.rank))
            if not total:
                raise ModelError(
                    f"{tuned.called} and {base.called} have the same weights; choose "
                    "the model that was trained and the one that it was made from."
                )
            share = round(max(0.0, 1 - missed / total), 4)
            recipe = recipe.model_copy(update={"settings": {**recipe.settings, "held": share}})
            told = metadata(recipe, request.name) | extract.facts(base, request.rank)
            writer.finish(told)
        context.emit(Notice(text=f"The LoRA holds {share:.1%} of the difference."))

    def resolve_resize(self, request: ResizeRequest) -> ResizeRequest:
        """The request with a rank for convolutions, once it is known that it can be done."""
        lora = self._catalogue.loras.get(request.lora)
        needed = bytes_needed(lora.path, request)
        self._check_name(request.name, self._lora_place(request.name))
        check_room(self._root, needed)
        return request.model_copy(update={"conv_rank": request.conv_rank or request.rank})

    def resize(self, request: ResizeRequest, context: Context) -> None:
        """Write a LoRA of another rank."""
        lora = self._catalogue.loras.get(request.lora)
        _, pairs = read_pairs(lora.path)
        numbers = sum(pair.numbers for pair in pairs.values())
        meter = Meter(context, "resize", len(pairs), numbers)
        digest = self._catalogue.sha256_of(lora, context.check)
        dynamic = request.method is not RankMethod.FIXED
        recipe = Recipe(
            method="LoRA resize",
            parents=(Ingredient(role="LoRA", id=lora.name, sha256=digest),),
            settings={
                "rank": request.rank,
                "rank of convolutions": request.conv_rank or request.rank,
                "method": request.method.value,
                **({"share": request.share} if dynamic else {}),
                "stored": request.stored.value,
            },
        ).dated()
        # Before the work, so that a disk that refuses says so at once.
        place, needed = self._mine(self._lora_place(request.name)), bytes_needed(lora.path, request)
        with staged(self._root, place, needed) as made:
            meter.begin()
            done = resized(lora.path, request, meter.next)
            recipe = recipe.model_copy(
                update={"settings": {**recipe.settings, "kept": round(done.kept, 4)}}
            )
            told = {**done.notes, "ss_output_name": request.name, **metadata(recipe, request.name)}
            stored = done.stored if request.stored is StoredAs.SAME else request.stored.value
            save_state(done.state, told, made, stored)
        context.emit(Notice(text=done.told()))

    def _loras(self, request: BakeRequest) -> list[tuple[Lora, float]]:
        entry = self._catalogue.usable(request.model)
        return [(self._catalogue.loras.usable(name, entry), each) for name, each in request.worn]

    def _mine(self, place: Path) -> Path:
        """A new model's place, which is that of whoever is at work from now on."""
        self._catalogue.keep(place)
        return place

    def _lora_place(self, name: str) -> Path:
        return self._root / _LORAS / f"{name}.safetensors"

    def _check_name(self, name: str, place: Path) -> None:
        """ModelError when anything here is called so already."""
        check_free(self._root, place)
        folded = name.casefold()
        ids = {entry.id.casefold() for entry in self._catalogue.entries()}
        if folded in (*ids, *SHELVES) or self._catalogue.loras.find(name):
            raise RequestError(
                f"Name {name!r} is taken by what is here already; choose another one.", "name"
            )

    @contextmanager
    def _opened(self, roles: Sequence[tuple[str, str]]) -> Iterator[list[Parent]]:
        """The models of these roles and ids, in their order; ModelError for an unusable one."""
        with ExitStack() as stack:
            entries = [self._catalogue.usable(model_id) for _, model_id in roles]
            yield [stack.enter_context(Parent(entry)) for entry in entries]

    def _ingredient(
        self, role: str, parent: Parent, context: Context, weight: float | None = None
    ) -> Ingredient:
        check: Callable[[], object] = context.check
        digest = self._catalogue.sha256(parent.entry, check)
        return Ingredient(role=role, id=parent.entry.id, sha256=digest, weight=weight)


def _roles(request: MergeRequest) -> tuple[tuple[str, str], ...]:
    two = ("A", request.model_a), ("B", request.model_b)
    if request.method is MergeMethod.SUM:
        return two
    if not request.model_c:
        raise RequestError(f"Method {request.method.value!r} needs a model C; name one.", "model_c")
    return *two, ("C", request.model_c)


def _meter(context: Context, label: str, first: Parent) -> Meter:
    headers = first.headers.values()
    count = sum(len(header.shapes) for header in headers)
    return Meter(context, label, count, sum(header.numbers() for header in headers))
