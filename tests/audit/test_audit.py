"""The shortcut audit: it finds what is planted, however it is hidden, and is quiet where there is nothing."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from src.audit.audit import TOGETHER, AuditResult, audit, main, run_audit
from src.errors import UserError
from src.files import write_json
from src.phantom.dataset import write_phantom
from src.phantom.plants import PLANTS
from src.settings import ClassificationSettings

PATIENTS = 60
NAMES = [f"{number:04d}" for number in range(PATIENTS)]
LABELS = np.arange(PATIENTS) % 2
SHOWS = {"year": "year", "range": "gray_range", "marker": "marker", "resolution": "sharpness"}


def warned(result: AuditResult) -> set[str]:
    return {row.trait for row in result.traits if row.warns}


def settings_for(data: Path, **more: object) -> ClassificationSettings:
    both = {"encoder_modality": "gray", "decoder_modality": "gray"}
    folder = {"dataset_path": data, "output_root": data.parent / "out", "learning_rate": 0.001}
    return ClassificationSettings.model_validate({"task": "classification"} | both | folder | more)


def test_every_planted_shortcut_is_found(tmp_path: Path) -> None:
    write_phantom(tmp_path / "data", 32, seed=5, annotated=0.0, plants=PLANTS)
    result = run_audit(settings_for(tmp_path / "data"))
    assert {SHOWS[plant] for plant in PLANTS} <= warned(result)
    assert len(result.warnings) == len(warned(result))
    assert all(f"WARNING: {warning}" in result.table() for warning in result.warnings)


def test_a_phantom_without_shortcuts_gives_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_phantom(tmp_path / "data", 20, seed=5, annotated=0.0)
    lines = ["task: classification", "encoder_modality: gray", "decoder_modality: gray", "learning_rate: 0.001"]
    lines += [f"dataset_path: {tmp_path / 'data'}", f"output_root: {tmp_path / 'out'}"]
    (tmp_path / "run.yaml").write_text("\n".join(lines))
    monkeypatch.setattr(sys, "argv", ["audit", "--cfg", str(tmp_path / "run.yaml"), "--set", "seed=1"])
    main()
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert content["warnings"] == []
    assert "WARNING" not in printed
    assert "shortcut audit of 10 healthy and 10 sick patients" in printed
    assert set(content["same_in_all"]) == {"frames", "jpeg_step", "frame_height", "frame_width", "matrix_decimals"}
    assert content["patient_strata"]["0001"].startswith("year 20")


def test_every_kind_of_dependence_is_found_and_no_other() -> None:
    rng = np.random.default_rng(2)
    middle = rng.normal(size=PATIENTS) * np.where(LABELS == 1, 0.2, 1) + np.where(
        LABELS == 1, 0, rng.choice([-2, 2], 60)
    )
    codes = np.where(LABELS == 1, rng.choice([1, 3], PATIENTS), rng.choice([0, 2, 4], PATIENTS)).astype(float)
    traits = {
        "trend": rng.normal(size=PATIENTS) + 2 * LABELS,
        "in the middle": middle,
        "codes": codes,
        "missing": np.where(LABELS == 1, np.nan, rng.normal(size=PATIENTS)),
        "nothing": rng.normal(size=PATIENTS),
        "same": np.full(PATIENTS, 7.0),
        "never": np.full(PATIENTS, np.nan),
    }
    result = audit(NAMES, LABELS, traits)
    assert warned(result) == {"trend", "in the middle", "codes", "missing", TOGETHER}
    assert result.same_in_all == ("same", "never")
    assert {row.trait: row.missing for row in result.traits}["missing"] == 30
    assert all(row.within is None for row in result.traits)


def test_traits_together_tell_what_none_tells_alone() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    traits = {str(number): rng.normal(size=120) + 0.5 * labels for number in range(8)}
    result = audit([str(number) for number in range(120)], labels, traits)
    values = {row.trait: row.auc.interval.value for row in result.traits}
    assert result.traits[0].trait == TOGETHER
    assert values[TOGETHER] > max(values[name] for name in traits) + 0.05  # type: ignore[type-var,operator]


def test_diagnoses_drawn_by_chance_seldom_give_a_warning() -> None:
    alarms = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.arange(60) < 18).astype(int)
        alarms += bool(warned(audit(NAMES, labels, {str(number): rng.normal(size=60) for number in range(5)})))
    assert alarms <= 1  # of 8, each with a chance of a twentieth


def test_within_the_same_year_a_trait_of_the_year_tells_nothing() -> None:
    rng = np.random.default_rng(4)
    year = rng.integers(2012, 2016, 160).astype(float)
    labels = (rng.random(160) < (year - 2011) / 5).astype(int)
    traits = {"year": year.copy(), "camera": year + rng.normal(0, 0.3, 160), "other": rng.normal(size=160)}
    traits["year"][:8] = np.nan
    result = audit([str(number) for number in range(160)], labels, traits, ("year",))
    rows = {row.trait: row for row in result.traits}
    assert rows["camera"].warns
    within = rows["camera"].within
    assert within is not None
    assert within.interval.low is not None
    assert within.interval.low < 0.5
    assert rows["year"].within is None
    assert list(result.patient_strata.values()).count(None) == 8
    assert "because year is unknown: 8 patients" in result.table()


def test_many_values_are_cut_into_fifths() -> None:
    traits = {"size": np.arange(60.0)}
    strata = audit(NAMES, LABELS, traits, ("size",)).patient_strata
    assert sorted(set(strata.values())) == [f"size fifth {number}" for number in range(5)]  # type: ignore[type-var]


def test_few_patients_and_few_pairs_have_no_answer(tmp_path: Path) -> None:
    few = audit(NAMES[:16], LABELS[:16], {"size": np.arange(16.0)}, ("size",))
    assert few.traits == ()
    assert "not answered: at least 10 healthy and 10 sick patients are needed" in few.table()
    apart = audit(NAMES, LABELS, {"size": np.arange(60.0), "code": LABELS * 1.0}, ("code",))
    assert "cannot be answered, 0 pairs" in apart.table()
    for result in (few, apart):
        write_json(tmp_path / "audit.json", result.as_json())


def test_a_stratum_that_is_no_trait_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"strata: 'yaer': traits are accepted: year, "):
        run_audit(settings_for(tmp_path, strata=("yaer",)))
