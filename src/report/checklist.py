"""CLAIM 2024 in the report: what the run folders answer by themselves, and what is left to the author.

Source of the items, here in words of our own: Tejani et al., Checklist for Artificial Intelligence in Medical Imaging
(CLAIM): 2024 update, Radiology: Artificial Intelligence 6(4), e240300, 2024.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from src.report.record import divides_frames, patients_of
from src.report.runs import BASELINES, Group, Run
from src.report.tables import plain, plural

_ITEMS = Path(__file__).with_name("claim_2024.yaml")  # subjects by section; the first is item 1


def checklist(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """All items with number, section, subject, and the answer that the files hold; without one it is the author's."""
    runs = [run for group in groups for run in group.runs.values() if run.finished]
    answers = _data(runs) | _model(runs) | _evaluation(groups, runs) if runs else {}
    sections: dict[str, list[str]] = yaml.safe_load(_ITEMS.read_text(encoding="utf-8"))
    items = [(section, subject) for section, subjects in sections.items() for subject in subjects]
    return [
        {"number": number, "section": section, "subject": subject, "answer": answers.get(number, "")}
        for number, (section, subject) in enumerate(items, start=1)
    ]


def _data(runs: Sequence[Run]) -> dict[int, str]:
    answers = {}
    sizes = _said(runs, {"image_size": "frames of {} rows and columns"}, skip=("null",))
    modalities = [_case_words(run) for run in runs]
    answers[9] = f"Modality: {'; '.join(dict.fromkeys(modalities))}. " + (
        f"Resized where set: {sizes}. " if sizes else "Frames at the database's own size. "
    )
    views = _said(runs, {"views": "views {}"}, skip=("[]",))
    answers[10] = f"Only {views}." if views else "All views that the database has."
    if any(run.warnings for run in runs):
        answers[12] = "Frames and patients that cannot be used are left out and counted: warnings under Runs."
    answers[19] = (
        f"By {_said(runs, {'seed': 'seed {}'})}, stratified by diagnosis and annotation: "
        f"{_said(runs, {'test_ratio': 'test fraction {}'})}; "
        f"{_said(runs, {'train_val_ratio': 'training to validation {}'})}. See Split by patient."
    )
    answers[20] = (
        "By patient: no patient is in two partitions, except for regions in the published protocol, which divides "
        "frames whoever they are of."
        if any(map(divides_frames, runs))
        else "By patient: no patient is in two partitions."
    ) + (
        " The encoder saw frames of test patients without their labels (transductive)."
        if any(run.settings.get("transductive") is True for run in runs)
        else ""
    )
    parts = ("train", "validation", "tested")
    patients = {patient for run in runs for name in parts for patient in patients_of(run, name) or ()}
    if patients:
        answers[35] = f"{plural(len(patients), 'patient')} in all; see Split by patient. Exclusions: for the author."
    return answers


def _any_has(runs: Sequence[Run], key: str, value: Any) -> bool:
    """Whether some run has this setting."""
    return any(run.settings.get(key) == value for run in runs)


def _model(runs: Sequence[Run]) -> dict[int, str]:
    inputs = _said(runs, {"decoder_input": "{}"})
    seen = f"what the decoder sees: {inputs}" if inputs else "a UNet on its latents"
    encoded = any(run.is_encoded for run in runs)
    taught = _any_has(runs, "encoder", "taught")
    kind = "taught regions on drawn torsos, no patient" if taught else "pretrained without labels"
    decoder = _said(runs, {"decoder": "decoder: {}"}) or "a UNet"
    network = f"Encoder {kind}, frozen; after it {decoder}, {seen}" if encoded else f"A UNet, {seen}"
    answers = {22: f"{network}. Widths: Settings."}
    if _any_has(runs, "decoder_input", "features"):
        answers[22] += " Of features: a logistic regression, no UNet (model/weights/tumours.md)."
    known = [run.provenance["packages"] for run in runs if run.provenance.get("packages")]
    packages = known[0] if known else None
    if isinstance(packages, Mapping) and packages:
        answers[23] = ", ".join(f"{name} {plain(version)}" for name, version in packages.items()) + "; see Versions."
    answers[24] = f"Drawn with {_said(runs, {'seed': 'seed {}'})}" + (
        "; a decoder's encoder has its pretrained weights." if encoded else "."
    )
    if _any_has(runs, "init", "drawn"):
        answers[24] += " With init: drawn: weights taught on drawn torsos (model/weights/regions.md)."
    keys = {
        "learning_rate": "learning rate {}",
        "batch_size": "batch {}",
        "max_epochs": "at most {} epochs",
        "weight_decay": "weight decay {}",
        "optimizer": "optimiser of the decoder {}",
        "schedule": "schedule {}",
        "augment": "augmentation {}",
        "loss": "loss {}",
    }
    answers[25] = f"{_said(runs, keys)}. All settings: Settings; curves: Curves."
    published = any(run.published for run in runs)
    words = {"score": "of the highest validation Dice or AUC", "last": "that came last"}
    words["errors"] = "of the fewest errors at .5 on validation"
    selected = [words.get(str(run.settings.get("select_by")), "of the least validation loss") for run in runs]
    answers[26] = f"The epoch {' or '.join(dict.fromkeys(selected))}, as the settings say." + (
        " In the published protocol it is chosen on the test frames, which is optimistic." if published else ""
    )
    mirrored = any(run.settings.get("augment", "none") != "none" for run in runs)
    of_mirrored = "One model a run; averaged are logits over a frame and its mirror image."
    answers[27] = of_mirrored if mirrored else "None: one model a run."
    return answers


def _evaluation(groups: Sequence[Group], runs: Sequence[Run]) -> dict[int, str]:
    tasks = {run.task for run in runs}
    measures = []
    if "classification" in tasks:
        measures.append(
            "AUC, average precision, sensitivity, specificity, MCC, Brier score, calibration error by patient"
        )
    if "segmentation" in tasks:
        measures.append("Dice, IoU, surface Dice, Hausdorff distance by region")
    answers = {28: "; ".join(measures) + "."} if measures else {}
    if any(run.results.intervals for run in runs):
        answers[29] = "95% bootstrap intervals that resample patients" + (
            "; differences to baselines are paired." if any(run.differences for run in runs) else "."
        )
    protocols = [group.label for group in groups if not group.is_trial and group.runs]
    checks = []
    if len(protocols) > 1 or any(group.is_trial for group in groups):
        trials = sum(group.is_trial for group in groups)
        checks.append(f"protocols: {'; '.join(protocols)}" + (f", {plural(trials, 'single trial')}" if trials else ""))
    if any(name in run.baselines for run in runs for name in BASELINES):
        checks.append("compared with baselines")
    if any(run.audit for run in runs):
        checks.append("audited for traits that tell sick from healthy without the disease")
    if checks:
        answers[30] = f"{'; '.join(checks)}."
    answers[32] = f"On patients held out: {', '.join(protocols)}."
    decoders = tasks & {"classification", "segmentation"}
    if decoders:
        answers[37] = "See Results; scores of validation patients stand in metrics.json beside those of test patients."
    if "classification" in tasks:
        answers[38] = "Sensitivity and specificity with intervals: see Results."
    if any(path.stem == "worst" for run in runs for path in run.pictures):
        answers[39] = "The worst test frames are pictured under Runs; whether they share a cause: for the author."
    commits = dict.fromkeys(str(run.provenance["git_commit"]) for run in runs if run.provenance.get("git_commit"))
    if commits:
        answers[43] = f"Software: open, git commit {', '.join(commits)}. Trained weights and data: for the author."
    return answers


def _case_words(run: Run) -> str:
    words = {"h": "heat", "g": "gray"}
    if run.task == "latent":
        return f"encoder on {run.case}"
    decoder = f"{run.task} decoder on {words[run.case[6]]} frames"
    return f"{decoder} with the {words[run.case[0]]} encoder" if run.is_encoded else decoder


def _said(runs: Sequence[Run], keys: Mapping[str, str], skip: Sequence[str] = ()) -> str:
    """Settings in words, every value that some run has."""
    found = []
    for key, words in keys.items():
        values = dict.fromkeys(plain(run.settings[key]) for run in runs if key in run.settings)
        shown = [value for value in values if value not in skip]
        if shown:
            found.append(words.format(" or ".join(shown)))
    return ", ".join(found)
