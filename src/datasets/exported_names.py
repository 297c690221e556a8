"""What the file names of annotated images mean, after whatever annotation tools made of them."""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote

from src.files import composed

_SUFFIX = r"(jpe?g|jfif|png|bmp|tiff?|webp|txt|csv|npy|npz)"
_SUFFIXES = re.compile(rf"(\.{_SUFFIX})+$", re.IGNORECASE)
_SNAP = re.compile(r"_snap$", re.IGNORECASE)
# Label Studio's eight hexadecimal digits or a UUID; eight decimal digits may be a date, and count only before a
# database's name.
_PREFIX = re.compile(
    r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-|(?=[0-9]*[a-f])[0-9a-f]{8}-|[0-9]{8}-(?=T\d+\.\d))", re.IGNORECASE
)
_ROBOFLOW = re.compile(rf"[._]{_SUFFIX}\.rf\.\w+(\.{_SUFFIX})?$", re.IGNORECASE)
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+://[^/]*/|^.*[?&]d=|[?#].*$", re.IGNORECASE)


class KnownNames:
    """The names that frames have, and which of them an annotated image's name may mean."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted({composed(name) for name in names})
        self._known = frozenset(self.names)
        self._loosely: dict[str, list[str]] = {}
        for name in self.names:
            self._loosely.setdefault(_loose(name), []).append(name)

    def meant_by(self, file_name: str) -> Iterator[PurePosixPath]:
        """The paths that a file name may mean, each with a known name at its end, the plainest reading first.

        Without one, a known name that differs in the case of letters or in what stands for a dot, a space or a hyphen
        is meant where there is one alone.
        """
        readings = list(dict.fromkeys(_readings(file_name)))
        found = [reading for reading in readings if reading.name in self._known]
        yield from found
        if found:
            return
        alike = {name: reading for reading in readings for name in self._loosely.get(_loose(reading.name), ())}
        if len(alike) == 1:
            ((name, reading),) = alike.items()
            yield reading.with_name(name)

    def closest(self, file_name: str) -> str:
        """The known name that looks most like it; empty where there is none at all."""
        name = PurePosixPath(composed(file_name).replace("\\", "/")).name
        alike = difflib.get_close_matches(name, self.names[:1000], 1, 0.0)
        return alike[0] if alike else ""


def _readings(file_name: str) -> Iterator[PurePosixPath]:
    plain = composed(file_name).strip().replace("\\", "/")
    for text in (plain, composed(unquote(plain)), composed(unquote(_ADDRESS.sub("", plain)))):
        path = PurePosixPath(text.replace("\\", "/"))
        for name in (path.name, _PREFIX.sub("", _ROBOFLOW.sub("", path.name), count=1)):
            bare = _SUFFIXES.sub("", name)
            for stem in (bare, PurePosixPath(name).stem, _SNAP.sub("", bare)):
                if stem not in ("", "."):
                    yield path.with_name(stem)


def _loose(name: str) -> str:
    return re.sub(r"[\W_]+", "-", name.casefold())
