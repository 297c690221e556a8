"""Regions from probabilities: the most probable ones, and without stray pieces."""

import numpy as np

from src.evaluation.decision import chosen_classes

BACKGROUND = 2


def frame_of(*regions: np.ndarray) -> np.ndarray:
    """Probabilities [1, K, H, W] of the regions, the background last."""
    return np.stack([*regions, 1 - sum(regions)])[None].astype(np.float32)


def test_certain_regions_stay_as_they_are() -> None:
    truth = np.random.default_rng(0).integers(0, 3, (4, 1, 2)).repeat(12, 1).repeat(8, 2)
    certain = (truth[:, None] == np.arange(3)[:, None, None]).astype(np.float32)
    for decide in ("argmax", "whole"):
        found = chosen_classes(certain, decide, BACKGROUND)
        assert found.dtype == np.uint8
        assert (found == truth).all()


def test_no_frames_give_no_regions() -> None:
    assert chosen_classes(np.zeros((0, 3, 4, 5), np.float32), "whole", BACKGROUND).shape == (0, 4, 5)


def test_stray_pieces_go_to_the_next_best_class_and_equal_halves_stay() -> None:
    breast, nipple = np.full((12, 30), 0.6), np.zeros((12, 30))
    for columns, probability in ((slice(3, 7), 0.9), (slice(12, 14), 0.7)):  # a nipple, and a vein that looks like one
        nipple[4:8, columns] = probability
        breast[4:8, columns] = 0.1
    breast[:, 20:26] = 0.05  # where the background is likelier
    found = chosen_classes(frame_of(breast, nipple), "whole", BACKGROUND)[0]
    assert (found[4:8, 3:7] == 1).all()
    assert (found == 1).sum() == 16
    assert (found[4:8, 12:14] == BACKGROUND).all()  # .2, where the breast has .1
    assert (found[:, 26:] == BACKGROUND).all()  # the breast's smaller piece
    assert (chosen_classes(frame_of(breast, nipple), "argmax", BACKGROUND)[0] == 1).sum() == 24
    halves = np.zeros((12, 30))
    halves[:, :10], halves[:, 20:] = 0.9, 0.9
    assert (chosen_classes(frame_of(halves, np.zeros((12, 30))), "whole", BACKGROUND)[0] == 0).sum() == 240


def test_a_region_that_is_not_sure_enough_is_absent() -> None:
    breast, nipple = np.full((12, 30), 0.3), np.zeros((12, 30))
    nipple[4:8, 3:7] = 0.6
    for least, drawn in ((0.0, 16), (0.55, 16), (0.65, 0)):
        for decide in ("argmax", "whole"):
            found = chosen_classes(frame_of(breast, nipple), decide, BACKGROUND, (0.0, least, 0.0))[0]
            assert (found == 1).sum() == drawn
    assert (found[4:8, 3:7] == 0).all()  # .3, where the background has .1
