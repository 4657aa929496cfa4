"""Lets torchvision be imported beside a torch that its compiled part was not built for.

PyPI's torchvision for Linux is built for CUDA. Beside torch's CPU build it stops the import of
transformers and of spandrel with "operator torchvision::nms does not exist", though neither needs
that operator here. Declaring the operators, without any kernel, is all that the import wants;
whoever calls one is told that it is missing.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_OPERATORS = (
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, "
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, "
    "SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor",
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "ps_roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio) -> (Tensor, Tensor)",
    "ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width) -> (Tensor, Tensor)",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qroi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width) -> (Tensor, Tensor)",
    "_deform_conv2d_backward(Tensor a) -> Tensor",
    "_ps_roi_align_backward(Tensor a) -> Tensor",
    "_ps_roi_pool_backward(Tensor a) -> Tensor",
    "_roi_align_backward(Tensor a) -> Tensor",
    "_roi_pool_backward(Tensor a) -> Tensor",
)


class _Guard(MetaPathFinder):
    """Looks at torchvision once, when it is about to be imported, and finds nothing itself."""

    def __init__(self) -> None:
        self._declared: object = None  # torch forgets the operators with the library

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torchvision":
            uninstall()
            spec = PathFinder.find_spec(name)
            if spec is not None and spec.submodule_search_locations:
                self._declare(next(iter(spec.submodule_search_locations)))
        return None

    def _declare(self, folder: str) -> None:
        import torch

        compiled = PathFinder.find_spec("_C", [folder])
        if compiled is not None and compiled.origin:
            try:
                torch.ops.load_library(compiled.origin)
            except OSError:
                pass  # as where it wants CUDA and there is none
            else:
                return
        library = torch.library.Library("torchvision", "DEF")
        for operator in _OPERATORS:
            library.define(operator)
        self._declared = library


_guard = _Guard()


def install() -> None:
    """Look at torchvision when it is first imported; nothing happens before."""
    if "torchvision" not in sys.modules and _guard not in sys.meta_path:
        sys.meta_path.insert(0, _guard)


def uninstall() -> None:
    """Look no more."""
    if _guard in sys.meta_path:
        sys.meta_path.remove(_guard)
