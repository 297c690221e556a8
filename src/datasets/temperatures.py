"""Which numbers can be the temperatures of a body in a room, in which unit, and the same in degrees Celsius."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.errors import RefusedError

# Skin is 25 to 38 C, a room 15 to 30 C, a chilled one or a person before a warm lamp some degrees more: the median of a
# frame lies between these. In Fahrenheit that is 50 to 113, in Kelvin 283 to 318, in hundredths of a Kelvin 28315 to
# 31815: no two overlap, so a median tells its unit. Tenths and raw counts are not read: 300 could be Kelvin or 30 C,
# 2950 tenths of a Kelvin or a count of the sensor.
_MEDIAN = (10.0, 45.0)
# The range of cameras for people is -20 to 120 C, and they go on somewhat below it. What lies outside is no temperature
# but a mark of absent pixels, a number that counts rows, or another quantity.
_POSSIBLE = (-40.0, 120.0)
_UNITS = (  # name, degrees Celsius of a step, degrees Celsius of 0
    ("degrees Celsius", 1.0, 0.0),
    ("degrees Fahrenheit", 5 / 9, -32 * 5 / 9),
    ("Kelvin", 1.0, -273.15),
    ("hundredths of a Kelvin", 0.01, -273.15),  # whole numbers, as cameras store them
)
_MOST_OF_WHOLE = 40.0  # degrees from the least to the greatest: of whole numbers with more, gray levels are likelier
_OTHER_UNIT = f"numbers whose median is not between {_MEDIAN[0]:g} and {_MEDIAN[1]:g} C: taken for"
NO_TEMPERATURES = (
    f"values that are no temperatures of a body in a room: their median would be {_MEDIAN[0]:g} to {_MEDIAN[1]:g} and "
    f"each {_POSSIBLE[0]:g} to {_POSSIBLE[1]:g} C, or the same in Fahrenheit, Kelvin or whole hundredths of a Kelvin"
)


@dataclass(frozen=True)
class Temperatures:
    """Temperatures float32 [H, W] in degrees Celsius, and what was done to what the file holds."""

    degrees: NDArray[np.float32]
    remarks: tuple[str, ...] = ()
    """Of what a person should know: another unit, numbering left out."""
    text: bytes = b""
    """What their file holds, where that is a matrix in degrees Celsius and nothing else."""


def celsius(numbers: NDArray[Any]) -> Temperatures:
    """Numbers [H, W] as temperatures, in the one unit in which they can be those of a body in a room.

    Arrays of whole numbers are gray levels or hundredths of a Kelvin, nothing else. Zeros in degrees Celsius have no
    say: they are what masks leave. Raises RefusedError where no unit fits.
    """
    if not np.isfinite(numbers).all():
        raise RefusedError("values that are not finite")
    values = np.asarray(numbers, dtype=np.float64)
    seen = values[values != 0]
    middle = float(np.median(seen)) if seen.size else 0.0
    for name, step, zero in _UNITS[-1:] if numbers.dtype.kind in "ui" else _UNITS:
        if not _MEDIAN[0] <= middle * step + zero <= _MEDIAN[1]:
            continue
        degrees = values * step + zero
        if degrees.min() < _POSSIBLE[0] or degrees.max() > _POSSIBLE[1]:
            break
        whole = bool((values == np.rint(values)).all())
        if step == 0.01 and not whole:
            break
        if step != 0.01 and whole and np.ptp(degrees) > _MOST_OF_WHOLE:
            break
        remarks = () if zero == 0 else (f"{_OTHER_UNIT} {name} and turned to degrees Celsius",)
        return Temperatures(degrees.astype(np.float32), remarks)
    raise RefusedError(NO_TEMPERATURES)


def can_be_temperatures(numbers: NDArray[Any]) -> bool:
    """Whether `celsius` finds a unit for numbers [H, W]."""
    try:
        celsius(numbers)
    except RefusedError:
        return False
    return True
