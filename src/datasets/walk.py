"""What lies below a data folder: the one way in which training, import, prediction and snapshots list it."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from src.datasets.foreign import foreign
from src.datasets.source import LINKS, Skipped
from src.errors import UserError, refuse_failing_device


def walk(root: Path, left_out: Skipped) -> Iterator[tuple[PurePath, bool]]:
    """Every file and folder below `root` in any order: its path inside `root`, and whether it is a folder.

    Links, folders that `foreign` knows and folders that cannot be read are not entered, and named in `left_out`.
    Raises `UserError` where `root` itself cannot be read, `DeviceError` where the disk fails.
    """
    waiting = [PurePath()]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(root / here) as entries:
                found = [(here / each.name, each.is_symlink(), each.is_dir(follow_symlinks=False)) for each in entries]
        except OSError as error:
            refuse_failing_device(error, root / here)
            if not here.parts:
                raise UserError(f"{root}: the folder cannot be read: {error.strerror}") from None
            left_out.add(f"folders that cannot be read, with all they hold ({error.strerror})", here.as_posix())
            continue
        for path, is_link, is_folder in found:
            if is_link:
                left_out.add(LINKS, path.as_posix())
            elif is_folder and (reason := foreign(PurePath(path.name), root / here)):
                left_out.add(reason[0], path.as_posix())
            else:
                yield path, is_folder
                if is_folder:
                    waiting.append(path)
