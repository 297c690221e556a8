"""Names of the pictures that a prediction writes: each once, and none that a file system must refuse."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import PurePath, PurePosixPath

from src.files import composed

_REFUSED = re.compile('[\x00-\x1f\x7f<>:"|?*\\\\\ud800-\udfff]')  # by Windows' file systems, and bytes that are no text
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # which Windows takes for no file
_LONGEST = 120  # bytes of a part: encrypted folders take 143, and a suffix follows
_LONGEST_PATH = 800


def output_names(names: Iterable[PurePath]) -> dict[PurePath, PurePosixPath]:
    """What the pictures of frames with these names (paths without suffix) are called, without suffix.

    A name stays as it is, but that long ones are cut, and those that differ in the case of letters or in how an accent
    is written, which are one on many systems, are told apart by digits of their own.
    """
    found: dict[PurePath, PurePosixPath] = {}
    taken: set[str] = set()
    for name in sorted(names, key=lambda name: (_cut(name) != PurePosixPath(name), name)):
        new = _cut(name)
        while _alike(new) in taken:
            new = new.with_name(f"{new.name}_{_digits(f'{name}{new}')}")
        taken.add(_alike(new))
        found[name] = new
    return found


def portable(name: PurePosixPath) -> PurePosixPath:
    """Another name for a file system that refuses this one: without what any refuses, with digits of its own."""
    parts = [_REFUSED.sub("_", part).rstrip(" .") or "_" for part in name.parts]
    *folders, last = (f"_{part}" if _DEVICE.fullmatch(part) else part for part in parts)
    return PurePosixPath(*folders, _shortened(last, str(name)))


def _alike(path: PurePosixPath) -> str:
    return composed(composed(path.as_posix()).casefold())


def _cut(name: PurePath) -> PurePosixPath:
    parts = [part if len(os.fsencode(part)) <= _LONGEST else _shortened(part, part) for part in name.parts]
    # A folder such as "a.png" would stand where a picture of a frame "a" goes.
    folders = [f"{part}_" if part.lower().endswith((".png", ".jpg")) else part for part in parts[:-1]]
    path = PurePosixPath(*folders, parts[-1])
    return path if len(os.fsencode(path)) <= _LONGEST_PATH else PurePosixPath(_shortened(path.name, str(name)))


def _shortened(part: str, whole: str) -> str:
    """The beginning of a part and digits that tell it from others that begin alike."""
    begin = os.fsencode(part)[: _LONGEST - 10].decode(errors="ignore").rstrip(" .")
    return f"{begin}_{_digits(whole)}"


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
