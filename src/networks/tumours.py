"""The weights of the network that looks for tumours, as one safetensors file. Its only reader and writer.

Tensors: the state dict of `model.tumours.TumourModel(base_channels)`. Metadata: `base_channels`, `taught_on`.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from model.tumours import TumourModel
from src.encoder import refuse_misfit
from src.networks.weights_file import read_weights, write_weights
from src.settings import REPOSITORY

SHIPPED_TUMOURS = REPOSITORY / "model" / "weights" / "tumours.safetensors"


@dataclass(frozen=True)
class TaughtTumours:
    """What the file holds."""

    state: dict[str, torch.Tensor]  # of the network, in float32
    base_channels: int
    taught_on: str  # in words, for people

    def network(self) -> TumourModel:
        """The network with its weights, in eval mode and frozen."""
        network = TumourModel(self.base_channels)
        network.load_state_dict(self.state)
        return network.eval().requires_grad_(False)


def read_tumours(path: Path = SHIPPED_TUMOURS) -> TaughtTumours:
    """Read the weights that ship, or a file of their kind; `UserError` where it is missing, damaged or of another."""
    return read_weights(path, "taught tumours", _checked)


def _checked(state: dict[str, torch.Tensor], said: dict[str, str]) -> TaughtTumours:
    base = int(said["base_channels"])
    with torch.device("meta"):  # what the metadata claim may need more memory than there is
        claimed = TumourModel(base)
    refuse_misfit(claimed, state)
    return TaughtTumours(state, base, said["taught_on"])


def write_tumours(taught: TaughtTumours, path: Path) -> None:
    write_weights(taught.state, {"base_channels": str(taught.base_channels), "taught_on": taught.taught_on}, path)
