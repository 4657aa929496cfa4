"""What loaders of networks with one use share."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from studio.errors import OutOfMemory
from studio.models.network_loader import NetworkLoader


def loader() -> NetworkLoader:
    return NetworkLoader(lambda: SimpleNamespace(name="meta", label="the GPU"))  # type: ignore


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("no more")])
def test_what_does_not_fit_is_said_in_a_sentence(error: Exception) -> None:
    words = "Reader x did not fit on the GPU; close .* or choose a smaller reader"
    with pytest.raises(OutOfMemory, match=words), loader().fitting("Reader x", "reader"):
        raise error


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), loader().fitting("Reader x", "reader"):
        raise RuntimeError("shapes do not match")


def test_a_network_is_measured_and_moved_as_a_whole() -> None:
    model = SimpleNamespace(network=nn.BatchNorm1d(3))
    assert loader().measure(model) == 4 * 3 * 4 + 8
    loader().wake(model, ())
    assert {each.device.type for each in model.network.state_dict().values()} == {"meta"}
