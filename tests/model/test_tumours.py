"""The network that looks for tumours: what it says of a mirror, of a breast that is missing, and where it says it."""

import math

import torch

from model.tumours import SIDE, TumourModel


def regions_of(*boxes: tuple[int, int, int, int] | None) -> torch.Tensor:
    """Probabilities [1, 4, 60, 80] of breasts in boxes (top, bottom, start, end), or none; no nipples."""
    regions = torch.zeros(1, 4, 60, 80)
    for side, box in enumerate(boxes):
        if box is not None:
            regions[0, side, box[0] : box[1], box[2] : box[3]] = 1
    return regions


def model() -> TumourModel:
    torch.manual_seed(0)
    return TumourModel(4).eval()


@torch.no_grad()
def test_in_a_mirror_the_breasts_are_exchanged_and_the_patient_is_the_same() -> None:
    levels, regions = torch.randn(1, 1, 60, 80), regions_of((20, 50, 5, 35), (22, 48, 42, 76))
    network = model()
    found, mirrored = network(levels, regions), network(levels.flip(-1), regions.flip(-1)[:, [1, 0, 3, 2]])
    torch.testing.assert_close(mirrored.breasts, found.breasts.flip(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mirrored.patients, found.patients, rtol=1e-4, atol=1e-4)
    back = mirrored.laid_back(60, 80).flip(-1)
    torch.testing.assert_close(back, found.laid_back(60, 80), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_evidence_is_averaged_over_the_places_of_a_breast() -> None:
    found = model()(torch.randn(1, 1, 60, 80), regions_of((20, 50, 5, 35), None))
    assert found.found.tolist() == [[True, False]]
    inside = found.evidence[0, 0][found.evidence[0, 0].isfinite()]
    assert 0 < len(inside) < SIDE * SIDE  # what lies around the breast has no say
    torch.testing.assert_close(found.breasts[0, 0], inside.exp().mean().log(), rtol=1e-4, atol=1e-4)
    mean = found.breasts[0].exp().mean().log()
    torch.testing.assert_close(found.patients[0], mean, rtol=1e-4, atol=1e-4)
    assert math.isfinite(found.patients.item())


@torch.no_grad()
def test_the_excess_lies_where_it_was_seen() -> None:
    network, regions = model(), regions_of((20, 50, 5, 35), (22, 48, 42, 76))
    found = network(torch.zeros(1, 1, 60, 80), regions)
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    for row, column, side in ((40, 20, 0), (30, 60, 1)):
        spot = torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 18)
        seen = torch.zeros_like(found.excess)
        seen[:, side] = torch.nn.functional.grid_sample(spot[None, None], found.grids[:, side], align_corners=False)[
            :, 0
        ]
        laid = type(found)(found.evidence, seen, found.grids, found.found).laid_back(60, 80)
        assert laid[0].argmax().item() == row * 80 + column
        inside = regions[0, side] > 0
        torch.testing.assert_close(laid[0][inside], spot[inside], rtol=0, atol=0.05)
