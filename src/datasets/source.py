"""What a collection of thermograms has to tell, and the record of what was left out of it."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path, PurePath
from typing import ClassVar, Literal

from src.datasets.foreign import FOLDER, foreign
from src.errors import UserError, is_printable, one_line, refuse_failing_device, some
from src.files import composed, is_link
from src.settings import Modality

HEALTHY, SICK = 0, 1
Unit = Literal["patient", "frame"]
"""What a split divides: patients with all their frames, or, in the published protocol, single frames."""
LINKS = "links, which are not followed"
_NAMED = 3  # of one reason in a message
_LOGGED = 10_000  # names of one reason in train.log


@dataclass(frozen=True, order=True)
class Frame:
    """One image file of one patient.

    `path` is relative to the dataset's folder; `name` is what annotations call it, without folder, suffix or `_snap`;
    `view` is the database's number of the camera position (1 is frontal) and `day` the day it was taken, where the
    collection tells them.
    """

    patient: str
    path: Path
    name: str
    view: int | None = None
    day: date | None = None

    @property
    def key(self) -> str:
        """What a split of frames calls it, the same for a gray frame and its heat map: patient, folder and name."""
        return f"{self.patient}:{(self.path.parent / self.name).as_posix()}"


@dataclass
class Skipped:
    """What was left out or changed, by reason, so that nothing goes missing silently."""

    reasons: dict[str, list[str]] = field(default_factory=dict)
    _told: dict[str, int] = field(default_factory=dict, repr=False)
    """How many of each reason were reported."""

    def add(self, reason: str, what: str) -> None:
        """Note that `what` (a file, a patient, an annotation) met `reason`."""
        self.reasons.setdefault(reason, []).append(what)

    def summary(self, lead: str = "") -> str:
        """The reasons, how many met each and the first of these; empty, `lead` too, where there are none."""
        told = "; ".join(_line(reason, items) for reason, items in sorted(self.reasons.items()))
        return told and lead + told

    def extend(self, others: "Skipped") -> None:
        """Note all that others noted."""
        for reason, items in others.reasons.items():
            self.reasons.setdefault(reason, []).extend(items)

    def report(self, logger: logging.Logger) -> None:
        """One line a reason; where it names only the first, all at debug level (which train.log keeps). What was told
        is not repeated."""
        for reason, items in sorted(self.reasons.items()):
            if self._told.get(reason) == len(items):
                continue
            self._told[reason] = len(items)
            logger.warning("%s", _line(one_line(reason), items))
            if len(items) > _NAMED:
                logger.debug("%s: %s", reason, some([one_line(item, 200) for item in items], _LOGGED))


def _line(reason: str, items: Sequence[str]) -> str:
    return f"{reason}: {len(items)} ({some([one_line(item, 200) for item in sorted(items)], _NAMED)})"


def walk(root: Path, left_out: Skipped) -> Iterator[tuple[PurePath, bool]]:
    """Every file and folder below `root` in any order: its path inside `root`, and whether it is a folder. Training,
    import, prediction and snapshots all list it so.

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
        for path, linked, is_folder in found:
            if linked:
                left_out.add(LINKS, path.as_posix())
            elif is_folder and (reason := foreign(PurePath(path.name), root / here)):
                left_out.add(reason[0], path.as_posix())
            else:
                yield path, is_folder
                if is_folder:
                    waiting.append(path)


class Source(ABC):
    """A collection of thermograms; a new one is a subclass with two methods and a line in the registry.

    A source only lists: decoding, caching, splitting and drawing of labels are the same for all.
    """

    looked_for: ClassVar[dict[Modality, str]]
    """What a frame of each modality must be called, in words for the person who has none."""
    left_out: Skipped
    """Frames that `all_frames` does not hold, for their path alone."""

    def __init__(self, root: Path, only: Collection[str] = ()) -> None:
        """`only` names the patients to list; empty means all."""
        self.root, self.only, self.left_out = root, frozenset(map(composed, only)), Skipped()

    @abstractmethod
    def list_frames(self) -> dict[Modality, list[Frame]]:
        """Every frame of each modality, in an order that does not depend on the file system."""

    @abstractmethod
    def diagnoses(self, skipped: Skipped) -> dict[str, int]:
        """HEALTHY or SICK by patient, for the patients who have a diagnosis."""

    @cached_property
    def all_frames(self) -> dict[Modality, list[Frame]]:
        """`list_frames`, asked for once, of the patients wanted; `UserError` names those who are not there."""
        # Names that look the same are the same, whichever system wrote them.
        found = {
            kind: [replace(f, patient=composed(f.patient), name=composed(f.name)) for f in frames if self._accepts(f)]
            for kind, frames in self.list_frames().items()
        }
        if not self.only:
            return found
        known = {frame.patient for frames in found.values() for frame in frames}
        unknown = sorted(self.only - known)
        if unknown:
            raise UserError(f"{self.root}: the setting 'patients' names {some(unknown)}, of whom no frame is there")
        return {kind: [frame for frame in frames if frame.patient in self.only] for kind, frames in found.items()}

    def _accepts(self, frame: Frame) -> bool:
        """Whether a frame is not left out for its path alone; the reason is in `left_out`."""
        path, what = self.root / frame.path, str(frame.path)
        if not is_printable(what):
            self.left_out.add("frames whose name holds control characters or is no valid text", what)
        elif found := foreign(frame.path, self.root):
            reason, place = found
            if str(place) not in self.left_out.reasons.get(reason, ()):  # a folder once, however much it holds
                self.left_out.add(reason, str(place))
        elif is_link(path, self.root):
            self.left_out.add(LINKS, what)
        elif path.is_dir():
            self.left_out.add(FOLDER, what)
        else:
            return True
        return False

    @property
    def patients(self) -> list[str]:
        """Every patient with a frame of any modality, sorted: those the split divides."""
        return sorted({frame.patient for frames in self.all_frames.values() for frame in frames})

    def frames(self, modality: Modality, skipped: Skipped) -> list[Frame]:
        """The frames of one modality; `UserError` says what was looked for and where if there is none."""
        found, grays = self.all_frames[modality], self.all_frames["gray"]
        for reason, items in self.left_out.reasons.items():
            skipped.reasons[reason] = list(items)
        if not found and modality == "heat" and grays:
            raise UserError(
                f"{self.root}: no heat snapshots ({self.looked_for['heat']}) beside {len(grays)} gray frames; derive "
                f"them with: python -m src.datasets.prepare snaps {self.root}"
            )
        if not found:
            raise UserError(
                f"{self.root}: no {modality} frames; looked for {self.looked_for[modality]} (layout: data/README.md)"
                f"{self.left_out.summary('; ')}"
            )
        having = {frame.patient for frame in found}
        for patient in self.patients:
            if patient not in having:
                skipped.add(f"patients without a {modality} frame", patient)
        if modality == "heat":
            shown = {(frame.path.parent, frame.name) for frame in found}
            for frame in grays:
                if (frame.path.parent, frame.name) not in shown:
                    skipped.add("gray frames without a heat snapshot", str(frame.path))
        return found
