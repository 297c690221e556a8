"""Random draws that keep near the middle of their range, as far as a patient is asked to be an ordinary one."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class Draws(np.random.Generator):
    """A generator whose deviations from the middle are scaled by `variety`, 0 to 1.

    At 1 it draws as any other generator of that seed. The nearer to 0, the more alike are the torsos, and what few
    patients have (arms down, warm nipples, a necklace) does not occur at all. What `standard_normal` and `integers`
    draw has no middle and is left alone.
    """

    def __init__(self, seed: Sequence[int], variety: float) -> None:
        super().__init__(np.random.PCG64(seed))
        self.variety = variety

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """As `Generator.normal`, with the deviation scaled."""
        return super().normal(loc, self.variety * scale, size)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """As `Generator.uniform`, over the middle part of the range."""
        middle, half = (low + high) / 2, self.variety * (high - low) / 2
        return super().uniform(middle - half, middle + half, size)

    def random(self, *arguments: Any, **more: Any) -> Any:
        """As `Generator.random`, around a half: what fewer patients have than half of them becomes rarer still.

        `choice` asks it too: of choices with a probability each, the first that many patients have becomes likelier.
        """
        return 0.5 + self.variety * (super().random(*arguments, **more) - 0.5)

    def beta(self, a: Any, b: Any, size: Any = None) -> Any:
        """As `Generator.beta`, drawn towards its mean."""
        mean = a / (a + b)
        return mean + self.variety * (super().beta(a, b, size) - mean)
