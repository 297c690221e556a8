"""Turns folders of thermograms in other layouts into DMR's, and writes down what became of each file."""

import hashlib
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields
from operator import eq
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from tqdm import tqdm

from src.datasets.annotated_frames import KnownNames
from src.datasets.dmr_dataset import DESCRIPTION, description, read_diagnosis
from src.datasets.layouts import frame_stem, read_clues
from src.datasets.radiometric import require_flyr
from src.datasets.snapshots import DEFAULT_PALETTE, palette_name
from src.errors import UserError
from src.files import (
    atomic_write,
    composed,
    is_complete,
    read_json,
    remove_partial,
    resolved,
    write_csv,
    write_json,
    write_text,
)
from src.importing.frames import Row, Window, write_frame
from src.importing.plan import PARTIAL_FILE, RECORD_FILE, Layout, Plan, PlannedFrame, describe, make_plan

log = logging.getLogger(__name__)

_FORMAT = 1


@dataclass(frozen=True)
class ImportOptions:
    """What the person decides: table of labels, layout, window, pattern of the patient, palette of the snapshots."""

    labels: Path | None = None
    layout: Layout = "auto"
    window: Window | None = None
    patient_from: str | None = None
    palette: str = DEFAULT_PALETTE


def import_folder(source: Path, out: Path, options: ImportOptions, dry_run: bool = False) -> None:
    """Report what becomes of the files below `source`, then write it to `out` unless it is a dry run.

    `source` is only read. `out` is new or empty or holds this very import: a complete one is left alone, an
    interrupted one is made again. Raises UserError for options, files or folders that cannot be used.
    """
    source, out = resolved(source), resolved(out)
    if out == source or out in source.parents or source in out.parents:
        raise UserError(f"{out}: the new folder may neither lie in the source {source} nor around it")
    if options.window and not (all(map(math.isfinite, options.window)) and options.window[0] < options.window[1]):
        raise UserError(f"--window {options.window[0]:g} {options.window[1]:g}: the lower temperature comes first")
    palette_name(options.palette)
    plan = make_plan(source, options.labels, options.layout, options.patient_from)
    for line in describe(plan):
        log.info("%s", line)
    if any("radiometric" in frame.files and "matrix" not in frame.files for frame in plan.frames):
        require_flyr()
    if dry_run:
        log.info("dry run: nothing was written")
        return
    arguments = _arguments(plan, options)
    if is_complete(out, arguments, RECORD_FILE, PARTIAL_FILE, "import"):
        log.info("%s holds this import already", out)
        return
    for folder in (out, *out.glob("*/")):  # of an import that was killed
        remove_partial(folder)
    write_json(out / PARTIAL_FILE, {"arguments": arguments})
    _write(plan, out, options)
    write_json(out / RECORD_FILE, {"arguments": arguments})
    (out / PARTIAL_FILE).unlink()


def _arguments(plan: Plan, options: ImportOptions) -> dict[str, Any]:
    """The options, and a digest of the names, sizes and times of the files that are read."""
    files = [[file.path.as_posix(), file.size, file.changed] for file in plan.files]
    if options.labels is not None:
        status = options.labels.stat()
        files.append([str(options.labels.resolve()), status.st_size, status.st_mtime_ns])
    chosen = asdict(options) | {"labels": str(options.labels or ""), "window": list(options.window or ())}
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return {"format": _FORMAT, "source": str(plan.source), "files": digest, **chosen}


def _write(plan: Plan, out: Path, options: ImportOptions) -> None:
    """Frames first, one in memory for each thread; then what is said about them."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda frame: write_frame(plan, frame, out, options.window, options.palette), plan.frames)
        done = list(tqdm(results, "importing", len(plan.frames), unit="frame", disable=None))
    made = [frame for frame, result in zip(plan.frames, done, strict=True) if not result.failed]
    remarks = Counter(remark for result in done for remark in set(result.remarks))
    remarks.update(f"frames that could not be made: {result.failed}" for result in done if result.failed)
    for remark, count in sorted(remarks.items()):
        log.warning("%s: %d", remark, count)
    if not made:
        raise UserError(f"{plan.source}: no frame could be read")
    rows = [row for result in done for row in result.rows]
    rows += _write_descriptions(plan, out, {frame.patient for frame in made})
    rows += [_write_annotations(plan, path, out, made) for path in plan.annotations]
    rows += _rows_without_file(plan, {row.original for row in rows})
    rows.sort(key=lambda row: (row.original, row.new))
    write_csv(out / "import.csv", [each.name for each in fields(Row)], map(astuple, rows))
    log.info("made %d frame(s) of %d patient(s) in %s", len(made), len({frame.patient for frame in made}), out)


def _write_descriptions(plan: Plan, out: Path, patients: set[str]) -> Iterator[Row]:
    """A description.html that the database's reader understands; the patient's own one where it says the same."""
    labels = plan.labels
    for patient in sorted(patients):
        folder, label, own = plan.folders[patient], labels.of.get(patient, ""), labels.descriptions.get(patient)
        word = read_diagnosis(plan.source / own) if own else ""
        new = f"{folder}/{DESCRIPTION}"
        if patient in labels.contradictions:
            write_text(out / new, description("Contradicting"))
        elif own and (word == label.lower() or not label):
            with atomic_write(out / new) as file:
                file.write((plan.source / own).read_bytes())
            yield Row(own.as_posix(), new, folder, patient, label)
            continue
        elif label:
            write_text(out / new, description(label))
        if own:
            yield Row(own.as_posix(), "", folder, patient, label, note=f"its diagnosis is {word!r}")


def _write_annotations(plan: Plan, path: PurePath, out: Path, made: Iterable[PlannedFrame]) -> Row:
    """The COCO file with the new names of its images; entries of images without a frame stay as they are."""
    places: dict[str, set[tuple[tuple[str, ...], str]]] = {}  # folders and new name, by the old name
    for frame in made:
        for original in frame.files.values():
            places.setdefault(composed(frame_stem(original)), set()).add((original.parts[:-1], frame.stem))
    known = KnownNames(places)
    content = read_json(plan.source / path, "the annotations")
    absent: list[str] = []
    for image in content["images"]:
        file_name = str(image.get("file_name")) if isinstance(image, dict) else ""
        found = next(filter(None, (_frames_of(path, places[path.name]) for path in known.meant_by(file_name))), set())
        if len(found) == 1:
            image["file_name"] = f"{found.pop()}.jpg"
        else:
            absent.append(file_name)
    write_text(out / path.name, json.dumps(content))
    if absent:
        called = f"the closest to {absent[0]} is called {known.closest(absent[0])}"
        log.warning("%s: annotated images without a frame of that name: %d; %s", path.name, len(absent), called)
    return Row(path.as_posix(), path.name)


def _frames_of(path: PurePosixPath, known: set[tuple[tuple[str, ...], str]]) -> set[str]:
    """The new names of these (folders, new name) that an annotated image's path may mean."""
    within = read_clues(PurePosixPath(path.name)).tail is not None  # a database name tells its patient itself
    named = path.parts[:-1]
    # Two folders may be the same where one, named from some folder above it, ends as the other.
    return {new for folders, new in known if within or all(map(eq, reversed(named), reversed(folders)))}


def _rows_without_file(plan: Plan, told: set[str]) -> Iterator[Row]:
    for file in plan.files:
        if file.role == "table" and file.path.as_posix() not in told:
            yield Row(file.path.as_posix(), note="a table of labels")
    for reason, items in sorted(plan.left_out.reasons.items()):
        for item in items:
            yield Row(item, note=reason + (f": {plan.copies[item]}" if item in plan.copies else ""))
