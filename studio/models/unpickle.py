"""Turns a pickle into a safetensors file; run as a program of its own, which can do no harm.

Only `convert` starts it. It can reach no network, sees no more of the file than torch's reader of
plain tensors, and writes one file. It ends with exit code 0, or with a sentence on standard error.
"""

import contextlib
import ctypes
import os
import re
import sys
from typing import Any

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_DEPTH = 8
_BETTER = ("params_ema", "params", "state_dict", "model_state_dict", "model")
"""Under what names files keep their weights; the first that is there is taken."""


def leave_network() -> None:
    """Let the system take the network away, where it does that for everybody (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NETWORK)


def forbid() -> None:
    """Let Python refuse connections and other programs from now on; there is no way back."""

    def refuse(event: str, _arguments: Any) -> None:
        if event.startswith(("socket.", "subprocess.", "os.exec", "os.system", "os.posix_spawn")):
            raise PermissionError(f"{event} is not allowed here")

    sys.addaudithook(refuse)


def weights(data: Any) -> dict[str, Any]:
    """The named tensors in what a file holds, found as the field's programs store them."""
    import torch

    for _ in range(_DEPTH):
        if not isinstance(data, dict):
            return {}
        vectors = data.get("string_to_param")
        if isinstance(vectors, dict) and len(vectors) == 1:  # A1111's textual inversions
            return {"emb_params": next(iter(vectors.values())).detach()}
        inner = next((data[name] for name in _BETTER if isinstance(data.get(name), dict)), None)
        tensors = {k: v for k, v in data.items() if isinstance(v, torch.Tensor)}
        if inner is None or len(tensors) > 1:
            return {str(k): v.detach() for k, v in tensors.items()}
        data = inner
    return {}


def main(source: str, target: str) -> None:
    """Read one file and write the other; SystemExit with a sentence when there is nothing to."""
    leave_network()  # before torch, for the system wants a single thread
    import torch
    from safetensors.torch import save_file

    forbid()
    try:
        data = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile file makes torch raise
        # Its own message advises to trust the file; of that only what it would call is passed on.
        called = re.search(r"(?:GLOBAL|global:?) (?!GLOBAL)([\w.]+)", str(error))
        sys.exit(
            f"holds more than plain weights: it calls {called[1]}"
            if called
            else "is damaged, or was not written by torch"
        )
    found = weights(data)
    if not found:
        sys.exit("holds no named weights")
    # Tensors that share memory, as tied weights do, are written once each.
    save_file({name: each.contiguous().clone() for name, each in found.items()}, target)


if __name__ == "__main__":
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "0"
    main(*sys.argv[1:3])
