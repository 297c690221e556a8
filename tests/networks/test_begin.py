"""Where decoders begin: with the weights that ship, whatever the ids of the classes are."""

import logging

import pytest
import torch

from model.heads import LatentModel, LinearSegmentation, RegionDecoder, SegmentationModel
from src.errors import UserError
from src.networks.begin import begin_as_taught
from src.networks.features import TaughtEncoder
from src.networks.levels import NormalisedLevels
from src.networks.taught import Taught, read_taught

Classes = tuple[list[str], int]


def whole(taught: Taught) -> LatentModel:
    return LatentModel(NormalisedLevels(), SegmentationModel(1, 8, taught.base_channels), None).eval()


def one_layer(taught: Taught) -> LatentModel:
    encoder = TaughtEncoder.from_taught(taught)
    return LatentModel(encoder, LinearSegmentation(encoder.latent_dim, 8), None).eval()


def reversed_classes(taught: Taught) -> Classes:
    names = [name.upper() for name in taught.class_names[::-1]]
    background = len(names) - 1 - taught.background
    names[background] = "everything else"
    return names, background


@pytest.mark.parametrize("made", [whole, one_layer])
def test_before_training_the_answer_is_that_of_the_weights_that_ship(made: type[LatentModel]) -> None:
    """In float32, classes in another order."""
    taught = read_taught()
    model = made(taught)
    begin_as_taught(model, taught, reversed_classes(taught))
    frames = torch.rand(1, 1, 32, 48) * 2 - 1
    with torch.no_grad():
        wanted = taught.unet()(NormalisedLevels()(frames))
        torch.testing.assert_close(model(frames).flip(1), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("made", [whole, one_layer])
def test_a_class_that_those_weights_do_not_know_begins_at_random(
    made: type[LatentModel], caplog: pytest.LogCaptureFixture
) -> None:
    taught = read_taught()
    names, background = reversed_classes(taught)
    names[0], model = "throat", made(taught)
    random = {name: value.clone() for name, value in model.decoder.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        begin_as_taught(model, taught, (names, background))
    assert "begin at random: throat" in caplog.text
    name = [name for name in random if name.endswith("weight")][-1]
    begun = model.decoder.state_dict()[name]
    changed = [not torch.equal(old, new) for old, new in zip(random[name], begun, strict=True)]
    assert changed == [False] + [True] * 7


def test_what_does_not_fit_is_one_line_that_says_what_to_do() -> None:
    taught = read_taught()
    classes = taught.class_names, taught.background
    encoder = TaughtEncoder.from_taught(taught)

    def refused(decoder: RegionDecoder, match: str, classes: tuple[tuple[str, ...], int] = classes) -> None:
        with pytest.raises(UserError, match=match):
            begin_as_taught(LatentModel(encoder, decoder, None), taught, classes)

    refused(SegmentationModel(1, 8, 8), r"base_channels: 8 here, 24 in .*regions\.safetensors")
    refused(LinearSegmentation(96, 2), r"has the classes lesion, ROI, .* has left_breast.*neck", (("lesion", "ROI"), 1))
    encoder.features_mean += 1  # as of weights that shipped earlier
    refused(LinearSegmentation(96, 8), r"not the one in .*main_latent\.py --overwrite, or say init=random")
