"""What an import would make: frames with their files, patients and labels, and everything that stays out."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal, get_args

from src.datasets.dmr_dataset import is_snapshot
from src.datasets.formats import Role, SourceFile, about_frames, identical, scan
from src.datasets.layouts import NAMELESS, UNKNOWN_DATE, Clues, folder_labels, frame_stem, read_clues
from src.datasets.source import Skipped
from src.errors import UserError, some
from src.files import read_json
from src.importing.labels import Labels, gather

Layout = Literal["auto", "matrices", "class-folders", "flir", "dmr"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
RECORD_FILE, PARTIAL_FILE = "import.json", "import_partial.json"
_FRAME_ROLES = ("gray", "heat", "matrix", "radiometric")
_MAX_NUMBER = 9999  # in four digits
_EACH_FILE = "--patient-from '(?P<patient>[^/]+)$' makes each file a patient"
_TWO_PEOPLE = r"--patient-from '(?P<patient>\w+/\d+)/' tells sick/1 from healthy/1"


@dataclass(frozen=True)
class PlannedFrame:
    """One frame to make: its patient as the source calls them, its new name, and its files in the source by role."""

    patient: str
    stem: str
    files: Mapping[Role, PurePath]


@dataclass
class Plan:
    """An import before anything is written."""

    source: Path
    files: list[SourceFile]
    frames: list[PlannedFrame]
    folders: dict[str, str]
    """Four-digit folder by patient as the source calls them."""
    labels: Labels
    annotations: list[PurePath]
    """COCO files."""
    rules: dict[str, list[str]]
    """Files by the rule that told their patient."""
    shared: list[str]
    """Patients who are told by several rules: they may be several people whom two collections number alike."""
    copies: dict[str, str]
    """The other file of the same bytes, for each file that stays out for it."""
    left_out: Skipped


def make_plan(
    source: Path, table: Path | None = None, layout: Layout = "auto", patient_from: str | None = None
) -> Plan:
    """Look at every file below `source` and decide what becomes of it; nothing is written.

    Raises UserError where `source` is no folder, the table of labels cannot be used, or no frame can be made.
    """
    if not source.is_dir():
        raise UserError(f"{source}: no such folder (an archive must be unpacked first)")
    left_out, rules = Skipped(), defaultdict[str, list[str]](list)
    pattern = _compiled(patient_from)
    files = scan(source, left_out)
    clues = {}
    for file in files:
        if file.role not in _FRAME_ROLES:
            continue
        tell = read_clues(file.path, pattern)
        if not _belongs(layout, file, tell):
            left_out.add(f"files of another layout than {layout}", file.path.as_posix())
        elif not tell.patient:
            left_out.add(tell.rule, file.path.as_posix())
        else:
            rules[tell.rule].append(file.path.as_posix())
            clues[file] = tell if tell.date != UNKNOWN_DATE else replace(tell, date=file.date)
    copies = _copies(source, clues, left_out)
    groups = _frames({file: tell for file, tell in clues.items() if file.path.as_posix() not in copies}, left_out)
    if not groups:
        for file in files:
            if file.role not in _FRAME_ROLES:
                left_out.add(about_frames(file.role), file.path.as_posix())
        reasons = left_out.summary()
        hint = f"; {_EACH_FILE}" if NAMELESS in left_out.reasons else ""
        raise UserError(f"{source}: no frame can be imported ({reasons or 'the folder is empty'}){hint}")
    labels = gather(source, files, clues, table, left_out)  # of copies as well: theirs may contradict
    folders = _four_digits({patient for patient, _ in groups})
    annotations = _annotations(source, files, left_out)
    by_patient = defaultdict[str, set[str]](set)
    for tell in clues.values():
        by_patient[tell.patient].add(tell.rule)
    shared = [patient for patient, told in by_patient.items() if len(told) > 1]
    frames = _named(groups, folders)
    return Plan(source, files, frames, folders, labels, annotations, rules, shared, copies, left_out)


def _compiled(patient_from: str | None) -> re.Pattern[str] | None:
    if patient_from is None:
        return None
    try:
        pattern = re.compile(patient_from)
    except re.error as error:
        raise UserError(f"--patient-from {patient_from!r} is no regular expression: {error}") from None
    if "patient" not in pattern.groupindex:
        raise UserError(f"--patient-from {patient_from!r} has no group (?P<patient>...)")
    return pattern


def _belongs(layout: Layout, file: SourceFile, tell: Clues) -> bool:
    belongs: dict[Layout, bool] = {
        "auto": True,
        "matrices": file.role == "matrix",
        "class-folders": bool(folder_labels(file.path)),
        "flir": file.role == "radiometric",
        "dmr": tell.tail is not None,
    }
    return belongs[layout]


def _copies(source: Path, clues: dict[SourceFile, Clues], left_out: Skipped) -> dict[str, str]:
    """All but one of identical files of one patient, and all of them where they are said to be of several."""
    copies = {}
    for group in identical(source, clues):
        single = len({clues[file].patient for file in group}) == 1
        for file in group[1:] if single else group:
            copies[file.path.as_posix()] = next(other for other in group if other != file).path.as_posix()
            reason = "copies of another file" if single else "identical files of different patients"
            left_out.add(reason, file.path.as_posix())
    return copies


Groups = dict[tuple[str, str], dict[SourceFile, Clues]]  # by patient and frame


def _frames(clues: dict[SourceFile, Clues], left_out: Skipped) -> Groups:
    """The files of each frame: those of one name in one folder, or of one database name anywhere."""
    groups: Groups = defaultdict(dict)
    for file, tell in clues.items():
        name = tell.tail or (file.path.parent / frame_stem(file.path)).as_posix()
        groups[tell.patient, name][file] = tell
    for key, group in list(groups.items()):
        if len({file.role for file in group}) < len(group):
            for file in group:
                left_out.add("different files that claim to be one frame", file.path.as_posix())
            del groups[key]
        elif {"matrix", "radiometric"} & {file.role for file in group}:
            # A camera's coloured picture with logo and scale is no snapshot of the database's kind.
            for file in [file for file in group if file.role == "heat" and not is_snapshot(file.path)]:
                left_out.add("pictures in colour beside their temperatures", file.path.as_posix())
                del group[file]
    return groups


def _four_digits(patients: set[str]) -> dict[str, str]:
    """The folder of each patient: its own number where it has one, the next free numbers for the others."""
    own = sorted((patient for patient in patients if re.fullmatch("0|[1-9][0-9]{0,3}", patient)), key=int)
    folders = {patient: f"{int(patient):04d}" for patient in own}
    last = int(own[-1]) if own else 0
    used = {int(patient) for patient in own}
    free = [n for n in [*range(last + 1, _MAX_NUMBER + 1), *range(1, last)] if n not in used]
    others = sorted(patients - set(own))
    if len(others) > len(free):
        raise UserError(f"{len(patients)} patients do not fit into folders of four digits; import them in parts")
    return folders | {patient: f"{number:04d}" for patient, number in zip(others, free, strict=False)}


def _named(groups: Groups, folders: Mapping[str, str]) -> list[PlannedFrame]:
    """The database's names; what a path does not tell is visit 1, view 0, date 0000-00-00, and frames are counted."""

    def rank(group: dict[SourceFile, Clues]) -> tuple[bool, bool, SourceFile]:
        file, tell = next(iter(group.items()))
        return tell.tail is None, tell.frame is None, file  # numbers that are given go before counted ones

    frames = []
    taken: set[str] = set()
    following: dict[str, int] = {}
    for (patient, _), group in sorted(groups.items(), key=lambda item: rank(item[1])):
        tell = next(iter(group.values()))
        if tell.tail:
            stem = f"T{folders[patient]}.{tell.tail}"
        else:
            days = [each.date for each in group.values() if each.date != UNKNOWN_DATE]
            begin = f"T{folders[patient]}.1.{tell.view}.{tell.kind}.{min(days, default=UNKNOWN_DATE)}"
            number = following.get(begin, 0) if tell.frame is None else tell.frame
            while (stem := f"{begin}.{number:02d}") in taken:
                number += 1
            following[begin] = number + 1
        taken.add(stem)
        frames.append(PlannedFrame(patient, stem, {file.role: file.path for file in group}))
    return sorted(frames, key=lambda frame: frame.stem)


def _annotations(source: Path, files: list[SourceFile], left_out: Skipped) -> list[PurePath]:
    """The COCO files; of several with one name the first."""
    found: dict[str, PurePath] = {}
    for file in files:
        if file.role != "json":
            continue
        try:
            content = read_json(source / file.path, "the annotations")
        except UserError:
            content = None
        lists = content if isinstance(content, dict) else {}
        if not all(isinstance(lists.get(key), list) for key in ("images", "annotations", "categories")):
            left_out.add("JSON that is no COCO file", file.path.as_posix())
        elif file.path.name in found or file.path.name.lower() in (RECORD_FILE, PARTIAL_FILE):
            left_out.add("annotation files whose name is taken", file.path.as_posix())
        else:
            found[file.path.name] = file.path
    return list(found.values())


def _kind(frame: PlannedFrame) -> str:
    if {"matrix", "radiometric"} & frame.files.keys():
        return "from temperatures"
    return "gray pictures" if "gray" in frame.files else "heat snapshots alone"


def describe(plan: Plan) -> list[str]:
    """The plan in lines, for the person who decides."""
    kinds = Counter(_kind(frame) for frame in plan.frames)
    labels, folders = plan.labels, plan.folders
    words = Counter(f"{label} ({labels.origin[patient]})" for patient, label in labels.of.items() if patient in folders)
    clash = {patient: text for patient, text in labels.contradictions.items() if patient in folders}
    alike = "numbered folder" in plan.rules and any(text.count("in folders") > 1 for text in clash.values())
    none = {patient for patient in folders if patient not in labels.of and patient not in clash}
    first = plan.frames[0]
    example = f"{' + '.join(path.as_posix() for path in first.files.values())} -> {folders[first.patient]}/{first.stem}"
    renumbered = [f"{name} -> {folder}" for name, folder in folders.items() if name != (folder.lstrip("0") or "0")]
    lines = [
        f"frames: {len(plan.frames)} ({', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))})",
        f"  such as {example}",
        f"patients: {len(folders)}",
        *(f"  told by {rule}: {len(paths)} file(s), e.g. {paths[0]}" for rule, paths in sorted(plan.rules.items())),
        *([f"  told by several rules and taken for one: {some(sorted(plan.shared))}"] if plan.shared else []),
        *([f"  numbered anew: {some(sorted(renumbered))}"] if renumbered else []),
        f"labels: {', '.join(f'{count} {word}' for word, count in sorted(words.items())) or 'none'}",
        *(f"  {note}" for note in labels.notes),
        *([f"  patients without a label: {len(none)} ({some(sorted(none))})"] if none else []),
        *(f"  CONTRADICTION, no label for patient {patient}: {text}" for patient, text in sorted(clash.items())),
        *([f"  if these are different people: {_TWO_PEOPLE}"] if alike else []),
    ]
    lines += [f"annotation file: {path}" for path in plan.annotations]
    for reason, items in sorted(plan.left_out.reasons.items()):
        lines.append(f"left out, {reason}: {len(items)} ({some(sorted(items))})")
    return lines
