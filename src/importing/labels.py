"""The diagnoses that a folder to import tells: by folders, file names, descriptions and tables."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from src.datasets.dmr_dataset import read_diagnosis
from src.datasets.formats import SourceFile
from src.datasets.labels import Label, label_of, read_label_table, table_key
from src.datasets.layouts import Clues, folder_labels, frame_stem
from src.datasets.source import Skipped
from src.errors import UserError, some


@dataclass
class Labels:
    """One label for each patient about whom nothing contradicts."""

    said: dict[str, dict[Label, str]]
    """By patient: each label that is said, and where it was said first."""
    of: dict[str, Label] = field(default_factory=dict)
    """Healthy or Sick by patient."""
    origin: dict[str, str] = field(default_factory=dict)
    """Where the label was said, by patient."""
    contradictions: dict[str, str] = field(default_factory=dict)
    """What is said about a patient where it does not agree."""
    descriptions: dict[str, PurePath] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def gather(
    source: Path, files: list[SourceFile], clues: Mapping[SourceFile, Clues], table: Path | None, left_out: Skipped
) -> Labels:
    """Everything that is said about the patients of the frames in `clues`; `table` is read instead of those found.

    Raises UserError where `table` cannot be used.
    """
    labels = Labels({tell.patient: {} for tell in clues.values()})
    for file, tell in clues.items():
        for label in folder_labels(file.path):
            labels.said[tell.patient].setdefault(label, "folders")
        if tell.label:
            labels.said[tell.patient].setdefault(tell.label, "file names")
    _read_descriptions(source, files, clues, labels, left_out)
    named = _patients_by_file(clues)
    tables = [file.path for file in files if file.role == "table"]
    if table is not None:
        _read_table(table, named, labels)
        for path in tables:
            if (source / path).resolve() != table.resolve():
                left_out.add("tables other than the one of --labels", path.as_posix())
    else:
        for path in tables:
            try:
                _read_table(source / path, named, labels)
            except UserError as error:
                left_out.add(str(error).removeprefix(f"{source / path}: "), path.as_posix())
    _decide(labels)
    return labels


def _read_descriptions(
    source: Path, files: list[SourceFile], clues: Mapping[SourceFile, Clues], labels: Labels, left_out: Skipped
) -> None:
    """A description speaks of the frames in its folder and below, if they are of one patient."""
    below = defaultdict(set)
    for file, tell in clues.items():
        for folder in file.path.parents:
            below[folder].add(tell.patient)
    for file in files:
        if file.role != "description":
            continue
        patients = below[file.path.parent]
        if len(patients) != 1:
            left_out.add("descriptions whose folder does not hold the frames of one patient", file.path.as_posix())
            continue
        (patient,) = patients
        if patient in labels.descriptions:
            left_out.add("further descriptions of a patient (their diagnosis counts)", file.path.as_posix())
        labels.descriptions.setdefault(patient, file.path)
        try:
            label = label_of(read_diagnosis(source / file.path))
        except OSError as error:
            raise UserError(f"{source / file.path}: cannot be read: {error.strerror}") from None
        if label:
            labels.said[patient].setdefault(label, "descriptions")


def _patients_by_file(clues: Mapping[SourceFile, Clues]) -> dict[str, str]:
    """The patient of each path, file name and name without suffix that is one patient's alone."""
    patients = defaultdict[str, set[str]](set)
    for file, tell in clues.items():
        for name in (file.path.as_posix(), file.path.name, file.path.stem, frame_stem(file.path)):
            patients[table_key(name)].add(tell.patient)
    return {name: next(iter(owners)) for name, owners in patients.items() if len(owners) == 1}


def _read_table(path: Path, named: Mapping[str, str], labels: Labels) -> None:
    found = labels.said
    table = read_label_table(path, found, named)
    for patient, label in table.rows:
        if label and patient in found:
            found[patient].setdefault(label, path.name)
    labels.notes.append(f"{path.name}: patients in {table.columns[0]!r}, labels in {table.columns[1]!r}")
    if table.meaning:
        labels.notes.append(f"{path.name}: {table.meaning}")
    if absent := {patient for patient, _ in table.rows} - set(found):
        labels.notes.append(f"{path.name}: {len(absent)} patient(s) without a frame: {some(sorted(absent))}")
    if table.unknown:
        counts = [f"{value!r} {count}" for value, count in Counter(table.unknown).items()]
        labels.notes.append(f"{path.name}: values that are neither healthy nor sick: {some(sorted(counts))}")


def _decide(labels: Labels) -> None:
    """One label a patient, none where two are said; benign is Healthy unless healthy people are there as well."""
    everything = {label for said in labels.said.values() for label in said}
    benign: Label = "Benign" if "Healthy" in everything else "Healthy"
    if "Benign" in everything:
        meaning = "no label, since others are healthy" if benign == "Benign" else "Healthy"
        labels.notes.append(f"benign counts as {meaning}")
    for patient, said in labels.said.items():
        merged: dict[Label, str] = {benign if label == "Benign" else label: where for label, where in said.items()}
        if len(merged) > 1:
            labels.contradictions[patient] = ", ".join(f"{label} in {where}" for label, where in sorted(said.items()))
            continue
        for label, where in merged.items():
            if label != "Benign":
                labels.of[patient], labels.origin[patient] = label, where
