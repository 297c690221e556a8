"""From settings and checkpoints to networks, for training, test, prediction and export alike: the one place."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from torch import nn

from model import DECODERS
from model.heads import ClassificationModel, Decoder, FeatureHead, LatentModel, SegmentationModel
from model.tumours import TumourModel
from model.unet import UNet
from src.classes import Classes
from src.datasets.augmentation import mirrored_classes
from src.datasets.frame_cache import CHANNELS
from src.datasets.snapshots import DEFAULT_PALETTE
from src.encoder import CUTSEncoder, refuse_misfit
from src.errors import UserError
from src.networks import checkpoint as checkpoints
from src.networks.checkpoint import Checkpoint, State
from src.networks.features import TaughtEncoder
from src.networks.findings import FrameFeatures, TumourFinder
from src.networks.levels import NormalisedLevels
from src.networks.taught import Taught, read_taught
from src.networks.tumours import read_tumours
from src.settings import TASKS, DecoderRunSettings, DecoderSettings, LatentSettings, SegmentationSettings, with_defaults
from src.settings.fields import Kind, fields_of

N = TypeVar("N", bound=nn.Module)


class Pixels(nn.Module):
    """The frames as they are, without an encoder."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = self.latent_dim = in_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, H, W], as it is."""
        return x


Frozen = CUTSEncoder | TaughtEncoder | Pixels | NormalisedLevels | FrameFeatures  # what stands before a decoder


def new_encoder(settings: LatentSettings) -> CUTSEncoder:
    """The encoder that is to be pretrained, with random weights."""
    return CUTSEncoder(CHANNELS[settings.modality], settings.num_kernels, settings.patch_size)


def random_encoder(like: CUTSEncoder) -> CUTSEncoder:
    """A frozen encoder of the size of another, with random weights."""
    return CUTSEncoder(like.in_channels, like.num_kernels).freeze()


def frozen_input(settings: DecoderSettings, found: Checkpoint, path: Path) -> Frozen:
    """What a decoder sees through: the encoder that its checkpoint holds, or the frames themselves.

    Raises `UserError` where the checkpoint of `path` holds no encoder that fits.
    """
    if settings.decoder_input == "pixels":
        return Pixels(CHANNELS[settings.encoder_modality])
    palette = found.palette or DEFAULT_PALETTE
    if settings.decoder_input == "levels":
        return NormalisedLevels(palette)
    if settings.decoder_input == "features":
        return frame_features(palette) if found.encoder is None else _kept_features(found.encoder, path, palette)
    encoder = checkpoints.as_encoder(found.encoder or {}, path, palette)
    if encoder.in_channels not in (None, *CHANNELS.values()):
        raise UserError(f"{path}: an encoder of {encoder.in_channels} channels, 1 or 3 are accepted")
    return encoder


def new_decoder(settings: DecoderRunSettings, latent_dim: int, classes: int) -> Decoder:
    """The settings' decoder on latents of so many channels, with random weights; `classes`: of regions."""
    if isinstance(settings, SegmentationSettings):
        return DECODERS[settings.decoder](latent_dim, classes, settings.base_channels)
    if settings.decoder_input == "features":
        return FeatureHead(latent_dim)
    return ClassificationModel(latent_dim, settings.frame_size, settings.base_channels)


def networks(settings: DecoderRunSettings, frozen: Frozen, decoder: Decoder, names: Sequence[str]) -> LatentModel:
    """Both together, as training, test and prediction use them; `names`: the classes, none for a diagnosis."""
    encoder = frozen.folded() if isinstance(frozen, CUTSEncoder | TaughtEncoder) else frozen
    model = LatentModel(encoder, decoder, frozen.in_channels)
    model.averages_mirrored, model.mirrored = settings.averages_mirrored, mirrored_classes(names)
    return model


def trained_networks(found: Checkpoint, names: Sequence[str], path: Path) -> LatentModel:
    """The networks of a checkpoint of a decoder, in eval mode, BatchNorms folded; their sizes are its settings'.

    names: the classes, none for a diagnosis. Raises `UserError` where they do not fit together.
    """
    settings = network_settings(found, path)
    frozen = frozen_input(settings, found, path)
    decoder = _restored(lambda: new_decoder(settings, frozen.latent_dim, len(names)), found.model, path)
    for unet in [module for module in decoder.modules() if isinstance(module, UNet)]:
        unet.fold()
    # Channels last is what the folded encoder hands over; without training it is the fastest on CPUs too.
    return networks(settings, frozen, decoder.to(memory_format=torch.channels_last), names).eval()


def network_settings(found: Checkpoint, path: Path) -> DecoderRunSettings:
    """What the checkpoint of a decoder says of its networks; other fields are not to be asked.

    Raises `UserError` where it is none of a decoder, or a value is impossible.
    """
    kind = TASKS.get(str(found.settings.get("task")))
    if kind is None or not issubclass(kind, DecoderSettings):
        raise UserError(f"{path}: holds no decoder")
    try:
        known = _of_networks(kind).model_validate(with_defaults(found.settings))
    except ValidationError as error:
        problem = error.errors()[0]
        raise UserError(f"{path}: its settings: {problem['loc'][0]}: {problem['msg'].lower()}") from None
    return kind.model_construct(**dict(known))


@cache
def _of_networks(kind: type[DecoderRunSettings]) -> type[BaseModel]:
    """The fields of the settings that networks are made of, and the number format that they compute in."""
    names = fields_of(kind, Kind.NETWORK) | {"task", "precision"}
    fields: dict[str, Any] = {name: (kind.model_fields[name].annotation, kind.model_fields[name]) for name in names}
    return create_model("OfNetworks", __config__=ConfigDict(strict=True), **fields)


def _restored(make: Callable[[], N], state: State, path: Path) -> N:
    """A network in eval mode with these weights; `UserError` where they are of another."""
    try:
        with torch.device("meta"):  # what the settings claim may need more memory than there is
            claimed = make()
        refuse_misfit(claimed, state)
    except (ValueError, RuntimeError, TypeError) as error:  # the last: a width that is no size of anything
        raise UserError(f"{path}: {' '.join(str(error).split())}") from None
    network = make()
    checkpoints.restore(network, state, path)
    return network.eval().requires_grad_(False)


def frame_features(palette: str = DEFAULT_PALETTE) -> FrameFeatures:
    """What the networks that ship find in a frame, heat maps read back through the palette."""
    return FrameFeatures(TumourFinder(read_taught(), read_tumours().network(), palette))


def _kept_features(state: State, path: Path, palette: str) -> FrameFeatures:
    """The same of a run, whose networks are those that shipped when it was trained, of whatever widths."""
    first = [f"finder.{network}.inc.double_conv.0.weight" for network in ("segmenter", "tumours.unet")]
    if not all(name in state and state[name].ndim for name in first):
        raise UserError(f"{path}: holds no networks that find features in frames")
    of_regions, of_tumours = (len(state[name]) for name in first)

    def make() -> FrameFeatures:
        shipped = read_taught()
        weights = UNet(1, len(shipped.classes.names), of_regions).state_dict()
        regions = replace(shipped, base_channels=of_regions, state=weights)
        return FrameFeatures(TumourFinder(regions, TumourModel(of_tumours), palette))

    return _restored(make, state, path)


def shipped_classifier() -> LatentModel:
    """The evidence of a tumour as it is, before any patient was seen, as a classifier in eval mode."""
    return LatentModel(frame_features(), FeatureHead(FrameFeatures.latent_dim), None).eval().requires_grad_(False)


def shipped_networks(taught: Taught) -> LatentModel:
    """The taught network in eval mode on normalised levels, BatchNorms folded, averaged over mirror images."""
    decoder = SegmentationModel(1, len(taught.classes.names), taught.base_channels).eval().requires_grad_(False)
    decoder.unet.load_state_dict(taught.state)
    decoder.unet.fold()
    model = LatentModel(NormalisedLevels(), decoder.to(memory_format=torch.channels_last), None).eval()
    model.averages_mirrored, model.mirrored = True, mirrored_classes(taught.classes.names)
    return model


def begin_as_taught(decoder: nn.Module, taught: Taught, classes: Classes) -> None:
    """Give a UNet on levels the weights that ship.

    The maps of its last layer are put in the order of the names, whatever their ids are; the backgrounds of both
    count as one class. Raises `UserError` where decoder, widths or names differ.
    """
    if not isinstance(decoder, SegmentationModel):
        raise UserError("init: drawn: goes with decoder: unet")
    if decoder.unet.base_channels != taught.base_channels:
        raise UserError(
            f"init: drawn: base_channels: {decoder.unet.base_channels} here, {taught.base_channels} in {taught.path}; "
            f"say base_channels={taught.base_channels} or init=random"
        )
    known = [name.lower() for name in taught.classes.names]
    wanted = [name.lower() for name in classes.names]
    wanted[classes.background] = known[taught.classes.background]
    if sorted(wanted) != sorted(known):
        raise UserError(
            f"init: drawn: the annotation file has the classes {', '.join(classes.names)}, {taught.path} has "
            f"{', '.join(taught.classes.names)}; call them alike, or say init=random"
        )
    order = torch.tensor([known.index(name) for name in wanted])
    last = {name: value[order] for name, value in taught.state.items() if name.startswith("outc.")}
    decoder.unet.load_state_dict(taught.state | last)
