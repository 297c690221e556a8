"""Agreement of changed copies: whole where the network follows every change, less where it does not."""

import numpy as np
import pytest
import torch

from src.datasets.letterbox import letterbox
from src.prediction.agreement import CHANGES, agreements, changed_views

BOX = letterbox((48, 64), (48, 64))


def threshold(x: torch.Tensor) -> torch.Tensor:
    """A network that follows its frame: class 0 where it is bright."""
    return torch.cat((x * 20, -x * 20), 1)


def frames() -> torch.Tensor:
    y, x = np.mgrid[:48, :64]
    disc = ((x - 28) ** 2 + (y - 22) ** 2 < 144) * 1.6 - 0.8
    return torch.from_numpy(np.stack([disc, -disc]))[:, None].float()


def test_a_network_that_follows_its_frame_agrees_with_itself() -> None:
    """In float32."""
    x = frames()
    views = changed_views(x, threshold, at_once=3)
    assert [view.shape for view in views] == [(2, 2, 48, 64)] * len(CHANGES)
    found = agreements(threshold(x), views, [BOX, BOX], "argmax", 1)
    assert min(value or 0 for each in found for value in each) > 0.93


def test_one_that_sees_places_alone_does_not_and_absence_is_told_apart() -> None:
    """In float32."""
    fixed = torch.full((1, 3, 48, 64), -5.0)
    fixed[:, 1] = 0
    fixed[:, 0, 10:16, 10:16] = 5
    x = frames()[:1]
    views = changed_views(x, lambda x: fixed.expand(len(x), -1, -1, -1), at_once=8)
    ((region, _, absent),) = agreements(fixed, views, [BOX], "argmax", 1)
    assert region is not None
    assert region < 0.85
    assert absent is None
    ((_, _, lost),) = agreements(
        fixed, [torch.full((1, 3, 48, 64), 0.0) + torch.tensor([0.0, 0, 9]).view(3, 1, 1)], [BOX], "argmax", 1
    )
    assert lost == 0


def test_what_fills_a_frame_up_has_no_say() -> None:
    box = letterbox((48, 32), (48, 64))
    logits = torch.zeros(1, 2, 48, 64)
    logits[:, 0, :, box.inside[1]] = 1
    other = logits.clone()
    other[:, 0, :, : box.left] = 9
    assert agreements(logits, [other], [box], "argmax", 1) == [(pytest.approx(1.0), None)]
