"""Where a decoder begins that is to go on from the weights that ship instead of from random ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from model.heads import LatentModel, LinearSegmentation, SegmentationModel
from src.errors import UserError
from src.networks.features import TaughtEncoder
from src.networks.taught import Taught

logger = logging.getLogger(__name__)


def begin_as_taught(model: LatentModel, taught: Taught, classes: tuple[Sequence[str], int]) -> None:
    """Let a model answer before its training as the weights that ship do; `classes`: the names and the background's
    index.

    A UNet on levels takes all weights, one layer on the taught latents the last layer's: the same network, the rest of
    which is its encoder. Classes are matched by name, whatever their ids are; the backgrounds of both count as one
    class, and one that those weights do not know keeps its random start. Raises `UserError` where decoder, widths or
    encoder differ, or no class is known.
    """
    weight, bias = taught.state["outc.conv.weight"], taught.state["outc.conv.bias"]
    decoder, encoder = model.decoder, model.encoder
    if isinstance(decoder, SegmentationModel):
        if decoder.unet.base_channels != taught.base_channels:
            raise UserError(
                f"init: drawn: base_channels: {decoder.unet.base_channels} here, {taught.base_channels} in "
                f"{taught.path}; say base_channels={taught.base_channels} or init=random"
            )
        body = {name: value for name, value in taught.state.items() if not name.startswith("outc.")}
        last = decoder.unet.outc.conv
        decoder.unet.load_state_dict(decoder.unet.state_dict() | body)
    elif isinstance(decoder, LinearSegmentation) and isinstance(encoder, TaughtEncoder):
        if not torch.equal(encoder.features_mean.cpu(), taught.feature_mean):
            raise UserError(
                f"init: drawn: the encoder in the folder is not the one in {taught.path}; make it anew, "
                "python main_latent.py --overwrite, or say init=random"
            )
        # Latents are standardised features, the finest first, and the last layer saw those alone as they were.
        mean, std = (values[: taught.base_channels] for values in (taught.feature_mean, taught.feature_std))
        bias = bias + weight[:, :, 0, 0] @ mean
        coarser = weight.new_zeros(len(weight), encoder.latent_dim - taught.base_channels, 1, 1)
        weight, last = torch.cat((weight * std[:, None, None], coarser), 1), decoder.linear
    else:
        raise UserError("init: drawn: goes with decoder: unet on levels, or linear on the latents of encoder: taught")
    _copy(last, weight, bias, taught, classes)


def _copy(
    last: torch.nn.Conv2d,
    weight: torch.Tensor,
    bias: torch.Tensor,
    taught: Taught,
    classes: tuple[Sequence[str], int],
) -> None:
    """Give a last layer the rows of the classes that the weights that ship know."""
    names, background = classes
    known = {name.lower(): place for place, name in enumerate(taught.class_names) if place != taught.background}
    theirs = [taught.background if place == background else known.get(name.lower()) for place, name in enumerate(names)]
    if not any(place is not None and place != taught.background for place in theirs):
        raise UserError(
            f"init: drawn: the annotation file has the classes {', '.join(names)}, {taught.path} has "
            f"{', '.join(taught.class_names)}; call them alike, or say init=random"
        )
    unknown = [name for name, place in zip(names, theirs, strict=True) if place is None]
    if unknown:
        logger.warning("init: drawn: classes that those weights do not know begin at random: %s", ", ".join(unknown))
    with torch.no_grad():
        for own, place in enumerate(theirs):
            if place is not None:
                last.weight[own], last.bias[own] = weight[place], bias[place]  # type: ignore[index]
