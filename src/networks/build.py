"""From settings and checkpoints to networks: what stands before a decoder, and where a decoder begins."""

from collections.abc import Sequence
from pathlib import Path

import torch

from model import DECODERS
from model.heads import RegionDecoder
from model.unet import UNet
from src.datasets.frame_cache import CHANNELS
from src.datasets.snapshots import DEFAULT_PALETTE
from src.errors import UserError
from src.networks import checkpoint as checkpoints
from src.networks.checkpoint import Checkpoint, State
from src.networks.decoder_input import Frozen, Pixels
from src.networks.levels import NormalisedLevels
from src.networks.taught import Taught
from src.settings import DecoderInput, DecoderKind, Modality


def frozen_input(seen: DecoderInput, modality: Modality, found: Checkpoint, path: Path) -> Frozen:
    """What a decoder sees through: the encoder that its checkpoint holds, or the frames themselves.

    `modality` is the encoder's. Raises `UserError` where the checkpoint of `path` holds no encoder that fits.
    """
    if seen == "pixels":
        return Pixels(CHANNELS[modality])
    palette = found.palette or DEFAULT_PALETTE
    if seen == "levels":
        return NormalisedLevels(palette)
    encoder = checkpoints.as_encoder(found.encoder or {}, path, palette)
    if encoder.in_channels not in (None, *CHANNELS.values()):
        raise UserError(f"{path}: an encoder of {encoder.in_channels} channels, 1 or 3 are accepted")
    return encoder


def region_decoder(
    kind: DecoderKind,
    latent_dim: int,
    classes: int,
    base_channels: int = 64,
) -> RegionDecoder:
    """The decoder that finds regions in latents of so many channels, with random weights."""
    width = {"base_channels": base_channels} if kind == "unet" else {}
    return DECODERS[kind](latent_dim, classes, **width)


_LAST = {"unet": "unet.outc.conv.weight", "linear": "linear.weight"}
"""The weights that have a row for each class."""


def classes_of(state: State, kind: DecoderKind, path: Path) -> int:
    """How many classes the weights of such a decoder tell apart; `UserError` where they are of another."""
    last = state.get(_LAST[kind])
    if last is None or last.ndim != 4:
        raise UserError(f"{path}: holds no decoder")
    return len(last)


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
