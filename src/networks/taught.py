"""The weights that ship: a UNet taught on drawn torsos alone, as one safetensors file. Its only reader and writer.

Tensors: the state dict of `model.unet.UNet(1, classes, base_channels)`, and `features.mean` and `features.std` [F],
what `src.networks.features` standardises its features by. Metadata, all texts: `classes` (names in the order of the
maps, joined by commas), `background` (one of them), `base_channels`, `image_size` ("rows,columns"), `taught_on`,
`least` (a number for each class, joined by commas).
The network sees `src.networks.levels.NormalisedLevels`; left is the picture's left.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from model.unet import UNet
from src.classes import Classes
from src.encoder import refuse_misfit
from src.networks.weights_file import read_weights, write_weights
from src.settings import REPOSITORY

SHIPPED = REPOSITORY / "model" / "weights" / "regions.safetensors"
MEAN, STD = "features.mean", "features.std"


@dataclass(frozen=True)
class Taught:
    """What the file holds."""

    state: dict[str, torch.Tensor]  # of the UNet, in float32
    classes: Classes
    base_channels: int
    image_size: tuple[int, int]  # (rows, columns) of the torsos it was taught on
    taught_on: str  # in words, for people
    feature_mean: torch.Tensor  # float32 [F], of each feature over the pixels of drawn torsos
    feature_std: torch.Tensor
    least: tuple[float, ...]
    """Of each class the mean probability below which a region found is taken to be absent; 0 takes all as they are."""
    path: Path = SHIPPED

    def unet(self) -> UNet:
        """The network with its weights, in eval mode and frozen."""
        network = UNet(1, len(self.classes.names), self.base_channels)
        network.load_state_dict(self.state)
        return network.eval().requires_grad_(False)


def read_taught(path: Path = SHIPPED) -> Taught:
    """Read the weights that ship, or a file of their kind.

    Raises `UserError` where it is missing, damaged, or of another network than its metadata say.
    """
    return read_weights(path, "taught regions", lambda tensors, said: _checked(tensors, said, path))


def _checked(state: dict[str, torch.Tensor], said: dict[str, str], path: Path) -> Taught:
    """ValueError or KeyError where tensors and metadata do not belong together."""
    names = tuple(said["classes"].split(","))
    if len(set(names)) != len(names):
        raise ValueError("a class twice")
    rows, columns = (int(side) for side in said["image_size"].split(","))
    base, classes = int(said["base_channels"]), Classes(names, names.index(said["background"]))
    mean, std = state.pop(MEAN), state.pop(STD)
    with torch.device("meta"):  # what the metadata claim may need more memory than there is
        claimed = UNet(1, len(names), base)
    refuse_misfit(claimed, state)
    if mean.shape != std.shape or mean.shape != (4 * base,) or not (std > 0).all() or not mean.isfinite().all():
        raise ValueError(f"{MEAN} and {STD}: {4 * base} finite numbers each are needed")
    least = tuple(float(text) for text in said["least"].split(","))
    if len(least) != len(names) or not all(0 <= value < 1 for value in least):
        raise ValueError(f"least: {len(names)} numbers from 0 to 1 are needed")
    return Taught(state, classes, base, (rows, columns), said["taught_on"], mean, std, least, path)


def write_taught(taught: Taught, path: Path) -> None:
    """Write such a file, weights in float16, whole or not at all; `UserError` where the folder cannot be written."""
    tensors = taught.state | {MEAN: taught.feature_mean, STD: taught.feature_std}
    said = {
        "classes": ",".join(taught.classes.names),
        "background": taught.classes.names[taught.classes.background],
        "base_channels": str(taught.base_channels),
        "image_size": ",".join(str(side) for side in taught.image_size),
        "taught_on": taught.taught_on,
        "least": ",".join(str(value) for value in taught.least),
    }
    write_weights(tensors, said, path)
