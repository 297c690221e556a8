"""Trainings without their figures, which take most of a tiny one."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from src.evaluation import figures


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Have each figure of a training be an empty picture, in this process."""
    for name, function in list(vars(figures).items()):
        if inspect.isfunction(function) and "target" in (known := inspect.signature(function)).parameters:
            patch.setattr(figures, name, functools.partial(_empty, known, function))


def _empty(known: inspect.Signature, function: Callable[..., None], *values: Any, **named: Any) -> None:
    target = known.bind(*values, **named).arguments["target"]
    if isinstance(target, Path):
        Image.new("L", (1, 1)).save(target)
    else:
        function(*values, **named)
