"""Which frame an annotated image was drawn on, by its file's name, whatever annotation tools made of that."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from src.datasets.annotations import AnnotatedImage, Annotations
from src.datasets.source import Frame, Skipped
from src.files import composed
from src.settings import Modality

NO_FRAME = "annotated images without a frame of that name"
_Place = tuple[str, Path]
"""Patient, and folder of a frame."""

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


def match_frames(
    frames: Mapping[Modality, Sequence[Frame]], annotations: Annotations, skipped: Skipped
) -> dict[Frame, AnnotatedImage]:
    """The annotated image of each frame that has one, found by the file's name as `KnownNames` reads it.

    Where the annotated paths name patients' folders, the patient must agree too. `frames` are all that the collection
    lists: without those that a run cannot use, another patient's frame of the same name would take their place.
    """
    places: dict[str, set[_Place]] = {}
    counts: Counter[tuple[Modality, Path, str]] = Counter()
    for modality, listed in frames.items():
        for frame in listed:
            places.setdefault(frame.name, set()).add((frame.patient, frame.path.parent))
            counts[modality, frame.path.parent, frame.name] += 1
    patients = {patient for found in places.values() for patient, _ in found}
    known = KnownNames(places)
    meant = {image.file_name: list(known.meant_by(image.file_name)) for image in annotations.images}
    by_patient = any(patients.intersection(_plain(image.file_name).parent.parts) for image in annotations.images)
    images: dict[tuple[Path, str], list[AnnotatedImage]] = {}
    for image in annotations.images:
        readings = ((path, _places_of(path, places[path.name], by_patient)) for path in meant[image.file_name])
        path, found = next(((path, found) for path, found in readings if found), (PurePosixPath(), []))
        name = path.name
        if not found:
            skipped.add(NO_FRAME, image.file_name)
        elif len(found) > 1 or any(counts[modality, found[0], name] > 1 for modality in frames):
            skipped.add("annotated images whose name fits several frames", image.file_name)
        else:
            images.setdefault((found[0], name), []).append(image)
    for key, same in list(images.items()):
        if len(same) > 1:  # each may hold a part of the regions, or another opinion
            for image in same:
                skipped.add("annotated images that share their frame", image.file_name)
            del images[key]
    everything = (frame for listed in frames.values() for frame in listed)
    return {
        frame: images[frame.path.parent, frame.name][0]
        for frame in everything
        if (frame.path.parent, frame.name) in images
    }


def _places_of(path: PurePosixPath, places: set[_Place], by_patient: bool) -> list[Path]:
    """The folders of these whose frame an image's path may mean; all of it decides where the patient leaves several."""
    parts = path.parent.parts
    fitting = [folder for patient, folder in places if not (parts and by_patient) or patient in parts]
    ending = [folder for folder in fitting if parts[-len(folder.parts) :] == tuple(map(composed, folder.parts))]
    return ending if len(fitting) > 1 and ending else fitting


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
        alike = difflib.get_close_matches(_plain(file_name).name, self.names[:1000], 1, 0.0)
        return alike[0] if alike else ""


def _plain(file_name: str) -> PurePosixPath:
    return PurePosixPath(composed(file_name).replace("\\", "/"))


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
