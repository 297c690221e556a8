"""The UNet against a functional one written out plainly, and its names and shapes against the authors' checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.unet import UNet

CONVOLUTIONS = {  # of each double block: the shapes of its .0 and .3
    "inc.double_conv": ((64, 128, 3, 3), (64, 64, 3, 3)),
    "down1.maxpool_conv.1.double_conv": ((128, 64, 3, 3), (128, 128, 3, 3)),
    "down2.maxpool_conv.1.double_conv": ((256, 128, 3, 3), (256, 256, 3, 3)),
    "down3.maxpool_conv.1.double_conv": ((512, 256, 3, 3), (512, 512, 3, 3)),
    "down4.maxpool_conv.1.double_conv": ((512, 512, 3, 3), (512, 512, 3, 3)),
    "up1.conv.double_conv": ((512, 1024, 3, 3), (256, 512, 3, 3)),
    "up2.conv.double_conv": ((256, 512, 3, 3), (128, 256, 3, 3)),
    "up3.conv.double_conv": ((128, 256, 3, 3), (64, 128, 3, 3)),
    "up4.conv.double_conv": ((64, 128, 3, 3), (64, 64, 3, 3)),
}


def authors_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    shapes = {"outc.conv.weight": (classes, 64, 1, 1), "outc.conv.bias": (classes,)}
    for block, convolutions in CONVOLUTIONS.items():
        for index, shape in zip((0, 3), convolutions, strict=True):
            shapes[f"{block}.{index}.weight"] = shape
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{block}.{index + 1}.{part}"] = shape[:1]
            shapes[f"{block}.{index + 1}.num_batches_tracked"] = ()
    return shapes


def make_unet(in_channels: int, classes: int, seed: int = 0) -> UNet:
    """A small UNet in eval mode with BatchNorm statistics as after training."""
    torch.manual_seed(seed)
    unet = UNet(in_channels, classes, base_channels=4)
    for module in unet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.1, 0.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return unet.eval()


def plain_unet(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    def double(name: str, y: torch.Tensor) -> torch.Tensor:
        for conv, norm in ((0, 1), (3, 4)):
            y = F.conv2d(y, state[f"{name}.{conv}.weight"], padding=1)
            parts = [state[f"{name}.{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
            y = F.relu(F.batch_norm(y, *parts))
        return y

    def up(name: str, y: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        y = F.interpolate(y, (2 * y.shape[2], 2 * y.shape[3]), mode="bilinear", align_corners=True)
        rows, cols = skip.shape[2] - y.shape[2], skip.shape[3] - y.shape[3]
        padded = torch.zeros(*y.shape[:2], *skip.shape[2:])
        top, left = rows // 2, cols // 2
        padded[:, :, top : top + y.shape[2], left : left + y.shape[3]] = y
        return double(f"{name}.conv.double_conv", torch.cat([skip, padded], dim=1))

    x1 = double("inc.double_conv", x)
    x2 = double("down1.maxpool_conv.1.double_conv", F.max_pool2d(x1, 2))
    x3 = double("down2.maxpool_conv.1.double_conv", F.max_pool2d(x2, 2))
    x4 = double("down3.maxpool_conv.1.double_conv", F.max_pool2d(x3, 2))
    x5 = double("down4.maxpool_conv.1.double_conv", F.max_pool2d(x4, 2))
    y = up("up1", x5, x4)
    y = up("up2", y, x3)
    y = up("up3", y, x2)
    y = up("up4", y, x1)
    return F.conv2d(y, state["outc.conv.weight"], state["outc.conv.bias"])


def test_parameter_count_of_the_paper():
    assert sum(value.numel() for value in UNet(128, 8).parameters()) == 17_335_432


@pytest.mark.parametrize("classes", [1, 8])
def test_names_and_shapes_are_the_authors(classes):
    state = UNet(128, classes).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == authors_shapes(classes)


@pytest.mark.parametrize("size", [(35, 50), (16, 16), (17, 31), (47, 33), (32, 48)])
def test_forward_equals_the_plain_version(size):
    unet = make_unet(5, 3)
    x = torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, expected = unet(x), plain_unet(unet.state_dict(), x)
    assert ours.shape == (2, 3, *size)
    assert expected.std() > 0.01
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient():
    unet = make_unet(5, 3).train()
    unet(torch.randn(2, 5, 35, 50)).square().mean().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in unet.parameters())
