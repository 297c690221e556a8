"""Which frame an annotated image was drawn on, found by its name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from src.datasets.annotations import AnnotatedImage, Annotations
from src.datasets.exported_names import KnownNames
from src.datasets.source import Frame, Skipped
from src.files import composed
from src.settings import Modality

NO_FRAME = "annotated images without a frame of that name"
_Place = tuple[str, Path]
"""Patient, and folder of a frame."""


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
    by_patient = any(patients.intersection(_folders(image.file_name)) for image in annotations.images)
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


def _folders(file_name: str) -> tuple[str, ...]:
    return PurePosixPath(composed(file_name).replace("\\", "/")).parent.parts


def _places_of(path: PurePosixPath, places: set[_Place], by_patient: bool) -> list[Path]:
    """The folders of these whose frame an image's path may mean; all of it decides where the patient leaves several."""
    parts = path.parent.parts
    fitting = [folder for patient, folder in places if not (parts and by_patient) or patient in parts]
    ending = [folder for folder in fitting if parts[-len(folder.parts) :] == tuple(map(composed, folder.parts))]
    return ending if len(fitting) > 1 and ending else fitting
