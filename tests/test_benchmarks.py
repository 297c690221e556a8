"""`python -m benchmarks.accuracy`: every arm is a possible setting, trainings are done once, choices are honest.
And `benchmarks.tumours`: each tumour in its cell."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import accuracy
from benchmarks.accuracy_report import draw_curves, tables
from benchmarks.arms import INPUTS, PUBLISHED, RECOMMENDED, REGIONS
from benchmarks.tumours import scored_patients, table
from src import cli, protocols
from src.datasets.splits import Division, load_division
from src.errors import UserError
from src.evaluation.pooling import Trial
from src.evaluation.predictions import write_predictions
from src.files import write_json

TINY = (
    "image_size=[32, 40]",
    "base_channels=2",
    "batch_size=2",
    "min_steps_per_epoch=1",
    "augment_variants=1",
    "precision=fp32",
)


def division_of(trial: Trial) -> Division:
    return load_division(trial.root / "dmr_runs_seg_h_enc_h_dec" / "results" / "split.json")


def bench_of(phantom: Path, out: Path) -> accuracy.Bench:
    return accuracy.Bench(out, phantom, folds=2, seeds=1)


def test_every_arm_is_a_possible_setting_of_its_own(phantom: Path, tmp_path: Path) -> None:
    bench = bench_of(phantom, tmp_path)
    for arm in REGIONS:
        encoder = (*arm.encoder_changes, f"dataset_path={phantom}")
        cli.latent_settings(replace(bench.arguments(arm), overrides=encoder))
        own, recommended = (bench.settings(of).model_dump(exclude={"output_root"}) for of in (arm, RECOMMENDED))
        assert (own != recommended) == (arm is not RECOMMENDED)
    assert len({arm.folder for arm in REGIONS}) == len(REGIONS)


def test_each_fold_chooses_by_its_validation_patients(phantom: Path, tmp_path: Path) -> None:
    bench = bench_of(phantom, tmp_path)
    changed = next(arm for arm in REGIONS if arm.name == "half the steps")
    chosen = next(arm for arm in REGIONS if "select_by=loss" in arm.changes)
    arms = [RECOMMENDED, changed, PUBLISHED]
    assert accuracy.eligible(bench, [*arms, chosen]) == arms[:2]
    for arm, of_folds in zip(arms, ((0.1, 0.7), (0.2, 0.6), (0.9, 0.9)), strict=True):
        for trial, value in zip(bench.trials(arm), of_folds, strict=True):
            write_json(trial.root / "dmr_runs_seg_h_enc_h_dec" / "results" / "metrics.json", {"val/dice_macro": value})
    taken = accuracy.chosen_by_validation(bench, arms[:2])
    assert [(name, trial.fold) for name, trial in taken] == [(changed.name, 1), (RECOMMENDED.name, 2)]


def test_arms_and_curve_of_a_small_phantom(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accuracy, "QUICK", (*TINY, "max_epochs=1"))
    monkeypatch.setattr(accuracy, "QUICK_ENCODER", (*TINY[:1], "num_kernels=2", "max_epochs=1"))
    command = ["accuracy", str(tmp_path), "--quick", "--data", str(phantom), "--name", "small"]
    both = "latents and pixels"
    monkeypatch.setattr(accuracy, "INPUTS", {name: arm for name, arm in INPUTS.items() if name != "random encoder"})
    monkeypatch.setattr(sys, "argv", [*command, "--arms", "recommended", "latents alone", both])
    accuracy.main()
    found = json.loads((tmp_path / "accuracy.json").read_text(encoding="utf-8"))["small"]
    assert set(found["regions"]) == {"recommended", "latents alone", both}
    for name, references in {"recommended": [], "latents alone": ["recommended"]}.items():
        assert [key for key in found["regions"][name] if "minus" in key] == [f"minus_{of}" for of in references]
    for reference in ("recommended", "latents_alone"):
        arms = [found["regions"][name]["dice_macro"][0] for name in (both, reference.replace("_", " "))]
        minus = found["regions"][both][f"minus_{reference}"]["dice_macro"]
        assert minus[0] == pytest.approx(arms[0] - arms[1])
        assert minus[1] <= minus[0] <= minus[2]
    assert set(found["curve"]) == {"2", "all"}
    assert found["curve"]["all"]["latents"]["dice_macro"] == found["regions"]["latents alone"]["dice_macro"]
    assert (tmp_path / "accuracy.png").stat().st_size > 0
    assert "| recommended |" in capsys.readouterr().out

    # All have the encoders of one arm, pixels have none, and nothing is trained a second time.
    bench = bench_of(phantom, tmp_path)
    assert not any((trial.root / "dmr_runs").exists() for trial in bench.trials(RECOMMENDED))
    for trial, first in zip(bench.trials(INPUTS["latents and pixels"]), bench.trials(INPUTS["latents"]), strict=True):
        logs = [of.root / "dmr_runs" / "logs" / "train.log" for of in (trial, first)]
        assert logs[0].read_bytes() == logs[1].read_bytes()
    checkpoints = list(tmp_path.rglob("last.pty"))
    before = [path.stat().st_mtime_ns for path in checkpoints]
    accuracy.main()
    assert [path.stat().st_mtime_ns for path in checkpoints] == before
    assert protocols.place(bench.settings(RECOMMENDED)).is_dir()

    trained_on = [len(parts.train) for parts in map(division_of, bench.trials(RECOMMENDED))]
    assert accuracy.possible(bench, [2, min(trained_on), min(trained_on) + 1]) == [2, min(trained_on)]
    assert f"{min(trained_on) + 1} patients: left out" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--set", "base_channels=3"])
    with pytest.raises(UserError, match=r"'small' was made with .* give another --name"):
        accuracy.main()
    made_with = json.loads((tmp_path / "accuracy.json").read_text(encoding="utf-8"))["small"]["made_with"]
    with pytest.raises(UserError, match="give another --name"):
        accuracy.Results(tmp_path / "accuracy.json", "small", made_with | {"seeds": 2})


def test_an_arm_that_the_shared_settings_make_the_recommended_one_is_left_out(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = bench_of(phantom, tmp_path)
    assert accuracy.distinct(bench, REGIONS) == list(REGIONS)
    left = accuracy.distinct(replace(bench, changes=("ensemble=1", "max_epochs=30")), REGIONS)
    assert {arm.name for arm in REGIONS} - {arm.name for arm in left} == {"one UNet", "half the steps"}
    assert RECOMMENDED in left
    assert "one UNet: left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    "asked", [["--arms", "one UNet"], ["--seeds", "2"], ["--folds", "3"], ["--labels", "4"]], ids=lambda asked: asked[0]
)
def test_quick_takes_no_other_sizes_or_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["accuracy", str(tmp_path), "--quick", *asked])
    with pytest.raises(UserError, match=asked[0]):
        accuracy.main()
    assert not list(tmp_path.iterdir())


def test_tables_and_figure_of_one_collection_without_a_curve(tmp_path: Path) -> None:
    arm = {"dice_macro": [0.7, 0.6, 0.8], "left_nipple": [0.5, None, None], "right_nipple": [0.25, 0.1, 0.4]}
    everything = {"frames": {"regions": {"recommended": arm | {"seconds": 12.3}}}}
    assert "| recommended | .700 (.600 to .800) | .500 .250 |  |  | 12 |" in tables(everything)
    draw_curves(everything, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_tumours_are_told_by_depth_and_diameter(tmp_path: Path) -> None:
    """Shallow tumours score above all healthy patients, deep ones below."""
    tumours = {
        f"{number}": {"depth_mm": 5.0 if number < 10 else 20.0, "diameter_mm": 30.0, "rise_c": rise}
        for number, rise in enumerate([1.08] * 10 + [0.06] * 10)
    }
    scores = {patient: (1, 0.9 if of["depth_mm"] == 5 else 0.1) for patient, of in tumours.items()}
    scores |= {f"h{number}": (0, 0.5 + number / 100) for number in range(10)}
    write_predictions(
        tmp_path / "results" / "predictions.csv",
        ("label", "probability"),
        [
            ["test", patient, f"{frame}.jpg", label, probability + change]
            for patient, (label, probability) in scores.items()
            for frame, change in enumerate((-0.05, 0.05))
        ]
        + [["val", "v", "0.jpg", 1, 0.5]],
    )
    found = scored_patients(tmp_path)
    assert found.keys() == scores.keys()
    lines = table(tumours, {"run": found}).splitlines()
    assert lines[2].startswith("| 5 to 10 | 23 to 30 | 10 | 1.08 | 19.6 | 1.00 (")
    assert lines[3].startswith("| 15 to 20 | 23 to 30 | 10 | 0.06 | 1.1 | 0.00 (")
    assert lines[4].startswith("| all | all | 20 |  |  | 0.50 (")
    with pytest.raises(UserError, match="other patients"):
        table({"0": tumours["0"]}, {"run": found})
