"""Augmentation against plain arrays and geometry."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from src.datasets.augmentation import (
    DRAWS,
    GAIN,
    OFFSET,
    STRONG_GAIN,
    augmented,
    level_table,
    levels_of,
    mirrored_classes,
    refuse_unpaired,
)
from src.datasets.snapshots import palette_colours
from src.errors import UserError
from src.settings import Augment

NAMES = ("left_breast", "right_breast", "ROI", "neck")


def batch_of(frames: torch.Tensor, target: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    found = {"frame": frames, "index": torch.arange(len(frames))}
    return found if target is None else found | {"target": target}


def draws(count: int, **chosen: float) -> torch.Tensor:
    names = ("flip", "rotation", "scale", "across", "down", "gain", "offset")
    row = [chosen.get(name, 1.0 if name == "flip" else 0.0) for name in names]
    assert len(row) == DRAWS["full"]
    return torch.tensor([row] * count)


def test_a_mirror_swaps_left_and_right() -> None:
    assert mirrored_classes(NAMES) == [1, 0, 2, 3]
    assert mirrored_classes(["Breast RIGHT", "neck", "breast left"]) == [2, 1, 0]
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, 6, 8), generator=generator, dtype=torch.uint8)
    target = torch.rand(2, 4, 6, 8, generator=generator)
    chances = draws(2)
    chances[1, 0] = -1
    found = augmented(batch_of(frames, target), "flip", chances, mirrored_classes(NAMES))
    assert torch.equal(found["frame"][0], frames[0].float())
    assert torch.equal(found["target"][0], target[0])
    assert np.array_equal(found["frame"][1].numpy(), frames[1].numpy()[:, :, ::-1])
    assert np.array_equal(found["target"][1].numpy(), target[1].numpy()[[1, 0, 2, 3], :, ::-1])


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("L breast", "R breast"), "no label is called left or right: .*name the sides"),
        (("left_breast", "right_breast", "Left_Nipple"), "no label 'right_nipple' goes with 'Left_Nipple'"),
        (("breast_L", "right_breast", "neck"), "are breast_L, right_breast, neck; if one was renamed, .*'left_breast'"),
    ],
)
def test_classes_without_partner_are_not_mirrored_but_said_to_be_renamed(names: tuple[str, ...], told: str) -> None:
    refuse_unpaired(NAMES, Path("regions.json"))
    with pytest.raises(UserError, match=f"regions.json: .*{told}"):
        refuse_unpaired(names, Path("regions.json"))


def test_an_empty_share_of_a_batch_stays_empty() -> None:
    batch = batch_of(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, 4, 8, 8))
    assert augmented(batch, "full", draws(0).view(0, DRAWS["full"]), [1, 0, 2, 3])["frame"].shape == (0, 3, 8, 8)


@pytest.mark.parametrize("kind", ["none", "flip", "full"])
def test_the_middle_of_all_draws_changes_nothing(kind: Augment) -> None:
    frames = torch.randint(0, 256, (2, 1, 12, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    found = augmented(batch_of(frames), kind, draws(2))["frame"]
    assert torch.allclose(found.float(), frames.float(), atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_frame_and_regions_move_together(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = torch.zeros(1, 1, 48, 64)
    shape[..., 10:30, 20:34] = 1
    chances = torch.rand(1, DRAWS["full"], generator=generator) * 2 - 1
    chances[:, 5:] = 0
    found = augmented(batch_of(shape * 255, shape), "full", chances, [0])
    assert torch.allclose(found["frame"] / 255, found["target"], atol=1e-4)
    assert not torch.allclose(found["target"], shape)


def test_a_rotation_turns_about_the_middle_and_shears_nothing() -> None:
    rows, columns = np.mgrid[:96, :128]
    points = {}
    for name, (row, column) in {"right": (47.5, 103.5), "top": (7.5, 63.5)}.items():
        disc = ((rows - row) ** 2 + (columns - column) ** 2 <= 16).astype(np.float32)
        turned = augmented(batch_of(torch.from_numpy(disc)[None, None]), "full", draws(1, rotation=1.0))["frame"][0, 0]
        weights = turned.numpy() / turned.sum().item()
        points[name] = np.array([(weights * columns).sum() - 63.5, (weights * rows).sum() - 47.5])
    assert all(np.hypot(*point) == pytest.approx(40, abs=0.3) for point in points.values())
    assert points["right"] @ points["top"] == pytest.approx(0, abs=25)  # a right angle to within a degree
    assert abs(np.degrees(np.arctan2(points["right"][1], points["right"][0]))) == pytest.approx(10, abs=0.5)


def test_heat_maps_take_gray_changes_through_the_palette() -> None:
    levels = np.tile(np.arange(40, 210, dtype=np.uint8), (4, 1))

    def coloured(values: np.ndarray) -> torch.Tensor:
        colours = cv2.applyColorMap(values.round().astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
        return torch.from_numpy(colours.astype(np.float32)).permute(2, 0, 1)[None]

    found = augmented(batch_of(coloured(levels)), "full", draws(1, gain=1.0, offset=-1.0))["frame"]
    wanted = coloured((levels - 127.5) * (1 + GAIN) + 127.5 - 255 * OFFSET)
    # The level of a colour is found to within a step of 8 a channel: two levels.
    assert (found - wanted).abs().max() <= 16
    assert (found - coloured(levels)).abs().max() > 40


def strong(count: int, **chosen: float) -> torch.Tensor:
    """Draws that change nothing but what is chosen: gain 1, no blur, no noise."""
    least, most = STRONG_GAIN
    plain = {"flip": 1.0, "gain": 2 * (1 - least) / (most - least) - 1, "blur": 1.0, "noise": -1.0}
    names = ("flip", "rotation", "scale", "across", "down", "gain", "offset", "aspect", "gamma", "blur", "noise")
    row = [(plain | chosen).get(name, 0.0) for name in names]
    assert len(row) == DRAWS["strong"]
    return torch.tensor([row] * count)


def smooth(channels: int = 1) -> torch.Tensor:
    y, x = np.mgrid[:60, :80]
    level = (100 + 60 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
    frame = level[None] if channels == 1 else palette_colours("jet")[level].transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(frame))[None]


def test_strong_changes_are_what_the_draws_say() -> None:
    """In float32."""
    frames = smooth()
    assert torch.allclose(augmented(batch_of(frames), "strong", strong(1))["frame"], frames.float(), atol=0.05)
    darker = augmented(batch_of(frames), "strong", strong(1, gamma=1.0))["frame"]
    expected = (frames / 255) ** float(np.exp(0.6)) * 255
    assert torch.allclose(darker, expected, atol=0.1)
    wider = augmented(batch_of(frames), "strong", strong(1, aspect=-1.0))["frame"][0, 0]
    matrix = np.array([[1 / 0.92, 0, 39.5 * (1 - 1 / 0.92)], [0, 0.92, 29.5 * (1 - 0.92)]])
    shown = cv2.warpAffine(frames[0, 0].numpy().astype(np.float32), matrix, (80, 60), borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(wider.numpy() - shown)[8:-8, 8:-8].max() < 2
    soft = augmented(batch_of(frames), "strong", strong(1, blur=-1.0))["frame"]
    assert soft.diff().abs().sum() < frames.float().diff().abs().sum()


def test_noise_is_each_frames_own_and_comes_again() -> None:
    """In float32."""
    frames = smooth().repeat(2, 1, 1, 1)
    draws_of_two = torch.cat((strong(1, noise=0.5), strong(1, noise=0.9)))
    found = augmented(batch_of(frames), "strong", draws_of_two)["frame"] - frames
    assert found[0].std() == pytest.approx(255 * 0.03 * 0.75, rel=0.1)
    assert abs(np.corrcoef(found[0].flatten(), found[1].flatten())[0, 1]) < 0.1
    alone = augmented(batch_of(frames[:1]), "strong", draws_of_two[:1])["frame"]
    assert torch.allclose(alone[0] - frames[0], found[0], atol=1e-3)


def test_strong_changes_of_a_heat_map_stay_in_its_palette() -> None:
    frames = smooth(3)
    found = augmented(batch_of(frames), "strong", strong(1, gamma=-0.5))["frame"]
    before, after = (levels_of(maps.float(), level_table("jet")).float() for maps in (frames, found))
    assert (after - 255 * (before / 255) ** float(np.exp(-0.3))).abs().median() < 4
