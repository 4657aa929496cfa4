"""What spreads a training over devices and multiplies in its number format."""

from typing import TYPE_CHECKING, Any

from studio.errors import ModelError

if TYPE_CHECKING:
    from accelerate import Accelerator

_NAMES = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


def accelerator_in(precision: str, *, auto: str, threads: int, **more: Any) -> "Accelerator":
    """An accelerator in a format, with "auto" standing for another; 0 threads leave torch's number.

    A process may ask several times, each time in another format. Raises ModelError where the
    devices have no such format. `more` are further words of accelerate.Accelerator.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # It keeps the first training's format and refuses others, but notebooks train twice.
    AcceleratorState._reset_state()
    if threads:
        torch.set_num_threads(threads)
    name = _NAMES[auto if precision == "auto" else precision]
    try:
        return Accelerator(mixed_precision=name, **more)
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"The training cannot begin in {precision} here ({error}); take precision auto."
        ) from None
