"""Weights that ship, as safetensors files: floats in half precision, and what they are of as texts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from src.errors import UserError, refuse_failing_device
from src.files import atomic_write

_LARGEST = 64  # megabytes; what ships is below 5
T = TypeVar("T")


def read_weights(path: Path, of: str, checked: Callable[[dict[str, torch.Tensor], dict[str, str]], T]) -> T:
    """What `checked` makes of a file's tensors, in float32, and texts; it raises ValueError or KeyError for others.

    Raises `UserError` where the file is missing, damaged, or not `of` what it should be.
    """
    try:
        if path.stat().st_size > _LARGEST * 2**20:
            raise ValueError(f"larger than {_LARGEST} megabytes")
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        # BatchNorm's count of batches is a whole number; all else is stored in half precision.
        return checked({n: value.float() if value.is_floating_point() else value for n, value in tensors.items()}, said)
    except OSError as error:
        refuse_failing_device(error, path)
        raise UserError(f"{path}: no weights there; take the file from the repository again") from None
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"{path}: damaged, or no weights of {of}: {error}") from None


def write_weights(tensors: Mapping[str, torch.Tensor], said: dict[str, str], path: Path) -> None:
    """Write such a file, whole or not at all; `UserError` where the folder cannot be written."""
    stored = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in tensors.items()
    }
    with atomic_write(path) as file:
        file.write(save(stored, said))
