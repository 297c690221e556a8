"""The spot model: breasts in one shape wherever they lie, the observer against a slow one, and spots that are found."""

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from model.spots import RISE, SIDE, VESSEL, WIDTHS, SpotModel, _opened

HEIGHT, WIDTH = 60, 80


def frame_of(left: tuple[int, int, int, int], right: tuple[int, int, int, int], level: torch.Tensor) -> torch.Tensor:
    """z [1, 3, H, W] of a level map, with breasts in boxes (top, bottom, start, end)."""
    z = torch.zeros(1, 3, *level.shape)
    z[0, 0] = level
    for channel, (top, bottom, start, end) in ((1, left), (2, right)):
        z[0, channel, top:bottom, start:end] = 1
    return z


def test_breasts_come_to_one_shape_wherever_they_lie() -> None:
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    shapes = []
    for top, start, size in ((10, 5, 24), (20, 9, 30), (4, 2, 18)):
        # Inside its box each breast is a ramp outwards and a ramp downwards.
        end = WIDTH - start
        level = torch.where(columns < WIDTH / 2, (columns + 0.5 - start) / size, (end - columns - 0.5) / size)
        level = level + 2 * (rows + 0.5 - top) / size
        z = frame_of((top, top + size, start, start + size), (top, top + size, end - size, end), level)
        shapes.append(SpotModel().shaped(z))
    places = (torch.arange(SIDE) + 0.5) / SIDE
    ramps = places[None, :] + 2 * places[:, None]
    for shape in shapes:
        inner = (shape - (ramps - ramps.mean()))[..., 1:-1, 1:-1]
        assert inner.abs().max() < 0.05


def test_a_stray_pixel_does_not_stretch_a_breast() -> None:
    level = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(6))
    z = frame_of((10, 34, 5, 29), (12, 40, 45, 75), level)
    stray = z.clone()
    stray[0, 1, 58, 70] = stray[0, 2, 0, 0] = 1
    torch.testing.assert_close(SpotModel().shaped(stray), SpotModel().shaped(z))


def test_a_frame_without_breasts_is_read_where_they_usually_lie() -> None:
    level = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    shape = SpotModel().shaped(frame_of((0, 0, 0, 0), (0, 0, 0, 0), level))
    assert shape.isfinite().all()
    assert shape.std() > 0


def test_breasts_too_small_count_as_none() -> None:
    level = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(7))
    z = frame_of((10, 34, 5, 29), (12, 14, 45, 47), level)
    model = SpotModel()
    assert model.found(z).tolist() == [[True, False]]
    without = z.clone()
    without[:, 2] = 0
    torch.testing.assert_close(model.shaped(z), model.shaped(without))


def test_frames_that_all_look_the_same_are_refused() -> None:
    model = SpotModel()
    with pytest.raises(ValueError, match="look the same"):
        model.fit(torch.ones(3, 2, SIDE, SIDE))
    model.fit(torch.randn(1, 2, SIDE, SIDE))  # one frame is hardly anything, but no error
    assert model.precision.isfinite().all()


def test_vessels_vanish_and_spots_stay() -> None:
    rows, columns = torch.meshgrid(torch.arange(2 * HEIGHT), torch.arange(2 * WIDTH), indexing="ij")
    spot = torch.exp(-0.5 * ((rows - 44) ** 2 + (columns - 34) ** 2) / 5.0**2)
    vessel = ((rows - columns).abs() <= 1).float()  # two pixels across
    seen = [frame_of((20, 68, 10, 58), (24, 80, 90, 150), level) for level in (0 * spot, spot, vessel)]
    nothing, with_spot, with_vessel = (SpotModel().shaped(z)[0, 0] for z in seen)
    assert (with_spot - with_spot.min()).max() > 0.8
    torch.testing.assert_close(with_vessel, nothing)


def test_a_frame_of_another_size_gives_the_same_breasts() -> None:
    rows, columns = torch.meshgrid(torch.arange(2 * HEIGHT), torch.arange(2 * WIDTH), indexing="ij")
    level = torch.sin(rows / 20) + torch.cos(columns / 25)
    z = frame_of((20, 68, 10, 58), (24, 80, 90, 150), level)
    usual = SpotModel().shaped(z)
    for height in (HEIGHT, 4 * HEIGHT, 3 * HEIGHT):
        size = (height, height * WIDTH // HEIGHT)
        other = torch.nn.functional.interpolate(z, size=size, mode="area")
        assert (SpotModel().shaped(other) - usual).abs().max() < 0.1


def test_an_opening_is_the_highest_of_the_lowest() -> None:
    """Against OpenCV's."""
    level = torch.rand(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(8))
    opened = cv2.morphologyEx(level[0, 0].numpy(), cv2.MORPH_OPEN, np.ones((VESSEL, VESSEL), np.uint8))
    np.testing.assert_array_equal(_opened(level)[0, 0].numpy(), opened)


def test_a_mirrored_frame_has_the_same_logit() -> None:
    torch.manual_seed(2)
    model = SpotModel()
    model.fit(torch.randn(50, 2, SIDE, SIDE))
    z = frame_of((10, 34, 5, 29), (12, 40, 45, 75), torch.rand(HEIGHT, WIDTH))
    mirrored = z.flip(-1)[:, [0, 2, 1]]
    torch.testing.assert_close(model(mirrored), model(z), atol=1e-4, rtol=1e-4)


def test_strengths_are_log_likelihood_ratios() -> None:
    """Against scipy's normal distribution: with and without a spot of one place and width."""
    torch.manual_seed(3)
    model = SpotModel()
    model.fit(torch.randn(4000, 2, SIDE, SIDE) * 0.1 + torch.randn(4000, 1, 1, 1) * 0.2)
    breasts = torch.randn(1, 2, SIDE, SIDE) * 0.1
    strengths = model.strengths(breasts)[0]
    covariance = torch.linalg.inv(model.precision.double()).numpy()
    law = multivariate_normal(model.mean.double().numpy(), covariance)
    for side, width, row, column in ((0, 0, 5, 7), (1, 2, 12, 20), (1, 1, 0, 23)):
        y, x = np.mgrid[:SIDE, :SIDE]
        spot = np.zeros((2, SIDE, SIDE))
        spot[side] = RISE * np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / WIDTHS[width] ** 2)
        values = breasts[0].double().numpy().ravel()
        ratio = law.logpdf(values - spot.ravel()) - law.logpdf(values)
        found = strengths[side, width, row, column] * model.energy[width, row, column].sqrt()
        assert found.item() == pytest.approx(ratio, abs=1e-3)


def test_it_learns_spots_that_vary_less_than_what_is_usual() -> None:
    generator = torch.Generator().manual_seed(4)
    count, healthy = 400, torch.arange(400) % 2 == 0
    # Breasts differ by smooth fields ten times as strong as the spots.
    coarse = torch.randn(count, 2, 4, 4, generator=generator)
    breasts = 10 * RISE * torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")
    breasts += 0.3 * RISE * torch.randn(count, 2, SIDE, SIDE, generator=generator)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    for number in (~healthy).nonzero()[:, 0].tolist():
        side, row, column = number % 4 // 2, 6 + number % 11, 5 + number % 13
        breasts[number, side] += RISE * torch.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / 1.6**2)
    torch.manual_seed(5)
    model, labels = SpotModel(), (~healthy).float()
    model.fit(breasts[:250])
    strengths = model.strengths(breasts)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model.read(strengths[:250]), labels[:250])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        scores = model.read(strengths[250:])
    assert roc_auc_score(labels[250:], scores) > 0.9
    assert roc_auc_score(labels[250:], breasts[250:].flatten(1).amax(1)) < 0.65
