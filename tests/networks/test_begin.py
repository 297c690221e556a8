"""Where a UNet begins: the weights that ship, whatever the ids of the classes are."""

import pytest
import torch

from model.heads import SegmentationModel
from src.classes import Classes
from src.errors import UserError
from src.networks.build import begin_as_taught
from src.networks.taught import read_taught


def test_classes_are_matched_by_name() -> None:
    """In float32."""
    taught = read_taught()
    names = [name.upper() for name in taught.classes.names[::-1]]
    background = len(names) - 1 - taught.classes.background
    names[background] = "everything else"
    decoder = SegmentationModel(1, 8, taught.base_channels)
    begin_as_taught(decoder, taught, Classes(tuple(names), background))
    levels = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(decoder.eval()(levels).flip(1), taught.unet()(levels))


def test_other_widths_and_names_are_one_line_that_names_both() -> None:
    taught = read_taught()
    classes = taught.classes
    with pytest.raises(UserError, match=r"base_channels: 8 here, 24 in .*regions\.safetensors"):
        begin_as_taught(SegmentationModel(1, 8, 8), taught, classes)
    for names in (classes.names[:-1], (*classes.names[:-1], "throat")):
        decoder = SegmentationModel(1, len(names), taught.base_channels)
        with pytest.raises(UserError, match=r"has the classes left_breast.*has left_breast.*neck"):
            begin_as_taught(decoder, taught, classes._replace(names=names))
