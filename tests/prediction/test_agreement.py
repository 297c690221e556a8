"""Agreement of changed copies: whole where the network follows every change, less where it does not."""

import numpy as np
import pytest
import torch

from src.datasets.letterbox import letterbox
from src.prediction.agreement import CHANGES, agreement, changed_views

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
    for place, logits in enumerate(threshold(x)):
        found = agreement([logits, *(view[place] for view in views)], BOX, "argmax", 1)
        assert min(value or 0 for value in found) > 0.93


def test_one_that_sees_places_alone_does_not_and_absence_is_told_apart() -> None:
    """In float32."""
    fixed = torch.full((1, 3, 48, 64), -5.0)
    fixed[:, 1] = 0
    fixed[:, 0, 10:16, 10:16] = 5
    x = frames()[:1]
    views = changed_views(x, lambda x: fixed.expand(len(x), -1, -1, -1), at_once=8)
    region, _, absent = agreement([fixed[0], *(view[0] for view in views)], BOX, "argmax", 1)
    assert region is not None
    assert region < 0.85
    assert absent is None
    other = torch.tensor([0.0, 0, 9])[:, None, None].expand(3, 48, 64)
    _, _, lost = agreement([fixed[0], other], BOX, "argmax", 1)
    assert lost == 0


def test_what_fills_a_frame_up_has_no_say() -> None:
    box = letterbox((48, 32), (48, 64))
    logits = torch.zeros(2, 48, 64)
    logits[0, :, box.inside[1]] = 1
    other = logits.clone()
    other[0, :, : box.left] = 9
    assert agreement([logits, other], box, "argmax", 1) == (pytest.approx(1.0), None)
