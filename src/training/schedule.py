"""The learning rate of each step, as a function of the step alone, so that a resumed run needs no other state."""

import math

from src.settings import Schedule

_WARM_UP, _FIRST, _LAST = 0.3, 1 / 25, 1 / 250_000


def rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at step 0 <= `step` < `steps`, as torch's schedulers of these names do.

    onecycle climbs from 1/25 to 1 in the first 30% of the steps and falls to 1/250,000 with the last; cosine falls from
    1 towards 0; both along half a cosine.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _half_cosine(1.0, 0.0, step / steps)
    top = _WARM_UP * steps - 1
    if step <= top:
        return _half_cosine(_FIRST, 1.0, step / top if top else 1.0)
    return _half_cosine(1.0, _LAST, (step - top) / (steps - 1 - top))


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
