"""From settings and checkpoints to networks: what stands before a decoder, and where a decoder begins."""

from collections.abc import Sequence
from pathlib import Path

import torch

from model.unet import UNet
from src.datasets.frame_cache import CHANNELS
from src.datasets.snapshots import DEFAULT_PALETTE
from src.decoder_input import Frozen, Pixels
from src.errors import UserError
from src.networks.levels import NormalisedLevels
from src.networks.taught import Taught
from src.settings import DecoderInput, Modality
from src.training import checkpoint as checkpoints
from src.training.checkpoint import Checkpoint


def frozen_input(seen: DecoderInput, modality: Modality, found: Checkpoint, path: Path) -> Frozen:
    """What a decoder sees through: the encoder that its checkpoint holds, or the frames themselves.

    `modality` is the encoder's. Raises `UserError` where the checkpoint of `path` holds no encoder that fits.
    """
    if seen == "pixels":
        return Pixels(CHANNELS[modality])
    palette = found.palette or DEFAULT_PALETTE
    if seen == "levels":
        return NormalisedLevels(palette)
    encoder = checkpoints.as_encoder(found.encoder or {}, path)
    if encoder.in_channels not in (None, *CHANNELS.values()):
        raise UserError(f"{path}: an encoder of {encoder.in_channels} channels, 1 or 3 are accepted")
    return encoder


def begin_as_taught(unet: UNet, taught: Taught, classes: tuple[Sequence[str], int]) -> None:
    """Give a UNet on levels the weights that ship; `classes`: the names and the background's index.

    The maps of its last layer are put in the order of the names, whatever their ids are; the backgrounds of both
    count as one class. Raises `UserError` where widths or names differ.
    """
    if unet.base_channels != taught.base_channels:
        raise UserError(
            f"init: drawn: base_channels: {unet.base_channels} here, {taught.base_channels} in {taught.path}; say "
            f"base_channels={taught.base_channels} or init=random"
        )
    names, background = classes
    known = [name.lower() for name in taught.class_names]
    wanted = [known[taught.background] if place == background else name.lower() for place, name in enumerate(names)]
    if sorted(wanted) != sorted(known):
        raise UserError(
            f"init: drawn: the annotation file has the classes {', '.join(names)}, {taught.path} has "
            f"{', '.join(taught.class_names)}; call them alike, or say init=random"
        )
    order = torch.tensor([known.index(name) for name in wanted])
    last = {name: value[order] for name, value in taught.state.items() if name.startswith("outc.")}
    unet.load_state_dict(taught.state | last)
