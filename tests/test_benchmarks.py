"""What benchmarks compare: arms are possible settings, trainings are done once, draws are honest, observers see."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import accuracy, plain, tumours
from benchmarks.accuracy_report import draw_curves, tables
from benchmarks.arms import CUTS, PUBLISHED, RANDOM_START, RECOMMENDED, REGIONS, TAUGHT_START
from benchmarks.draws import annotated_parts, draw_splits, possible
from src.datasets.splits import load_division
from src.errors import UserError
from src.evaluation.segmentation import confusion_matrices, region_scores
from src.files import read_json
from src.networks.build import begin_as_taught, frozen_input
from src.networks.checkpoint import Checkpoint
from src.networks.taught import read_taught
from src.prediction import levels
from src.training.decoder_task import evaluate
from src.training.regions import RegionTask

TINY = (
    "image_size=[32, 40]",
    "base_channels=24",
    "batch_size=2",
    "min_steps_per_epoch=1",
    "max_epochs=1",
    "precision=fp32",
)
TINY_ENCODER = (*TINY[:1], "num_kernels=2", "max_epochs=1")


def bench_of(phantom: Path, out: Path) -> accuracy.Bench:
    return accuracy.Bench(out, phantom, folds=2, seeds=1, draws=3)


def test_every_arm_is_a_possible_setting_of_its_own(phantom: Path, tmp_path: Path) -> None:
    bench = bench_of(phantom, tmp_path)
    found = [bench.settings(arm).model_dump(exclude={"output_root"}) for arm in REGIONS]
    assert all(found.count(of) == 1 for of in found)
    assert len({arm.folder for arm in REGIONS}) == len(REGIONS)
    # The two whole networks differ in where they begin, in width, and in the rate and the length that suit it.
    whole = [set(bench.settings(arm).model_dump().items()) for arm in (TAUGHT_START, RANDOM_START)]
    assert {name for name, _ in whole[0] - whole[1]} == {
        *("init", "base_channels", "learning_rate", "min_steps_per_epoch", "max_epochs", "output_root")
    }
    shared = replace(bench, changes=("max_epochs=3",))
    assert {shared.settings(arm).max_epochs for arm in REGIONS} == {3}


def test_every_arm_trains_and_is_scored_on_all_others(phantom: Path, tmp_path: Path) -> None:
    bench = replace(bench_of(phantom, tmp_path), draws=1, changes=TINY, encoder_changes=TINY_ENCODER)
    runs = [bench.train_on(2, arm) for arm in REGIONS]
    assert all(0 <= bench.scores(run)["dice_macro"][0] <= 1 for run in runs)
    # All arms are trained on two patients, and tested on the same others.
    division = tmp_path.glob("*/draws/2_labels/draw_1/dmr_runs_seg_h_enc_h_dec/results/split.json")
    parts = list(map(load_division, division))
    assert len(parts) == len(REGIONS)
    assert len(set(parts)) == 1
    assert len(parts[0].train) == 2
    encoders = {arm.name: next((tmp_path / arm.folder).rglob("dmr_runs/checkpoints/last.pty"), None) for arm in REGIONS}
    assert {name for name, path in encoders.items() if path} == {CUTS.name, PUBLISHED.name}  # pretrained anew in each


def test_arms_and_curve_of_a_small_phantom(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accuracy, "QUICK", TINY)
    monkeypatch.setattr(accuracy, "QUICK_ENCODER", TINY_ENCODER)
    arm = TAUGHT_START.name
    command = ["accuracy", str(tmp_path), "--quick", "--data", str(phantom), "--name", "small", "--arms", arm]
    monkeypatch.setattr(sys, "argv", command)
    accuracy.main()
    found = json.loads((tmp_path / "accuracy.json").read_text(encoding="utf-8"))["small"]
    assert set(found["regions"]) == {RECOMMENDED.name, arm}
    assert set(found["curve"]) == {"2"}
    assert set(found["curve"]["2"]) == {RANDOM_START.name, arm}
    for of, reference in ((found["regions"], RECOMMENDED), (found["curve"]["2"], RANDOM_START)):
        for name, scores in of.items():
            assert ("minus_reference" in scores) == (name != reference.name)
            if name != reference.name:
                value, low, high = scores["minus_reference"]["dice_macro"]
                assert value == pytest.approx(scores["dice_macro"][0] - of[reference.name]["dice_macro"][0])
                assert low <= value <= high
    assert found["no_labels"]["dice_macro"][0] > found["regions"]["recommended"]["dice_macro"][0]
    assert (tmp_path / "accuracy.png").stat().st_size > 0
    said = capsys.readouterr().out
    assert "| recommended |" in said
    assert "| 0 | no labels: the weights that ship |" in said

    # Nothing is trained a second time.
    checkpoints = list(tmp_path.rglob("last.pty"))
    before = [path.stat().st_mtime_ns for path in checkpoints]
    monkeypatch.setattr(sys, "argv", [*command, "--part", "curve"])
    accuracy.main()
    assert [path.stat().st_mtime_ns for path in checkpoints] == before
    monkeypatch.setattr(sys, "argv", [*command, "--set", "base_channels=3"])
    with pytest.raises(UserError, match=r"'small' was made with .* give another --name"):
        accuracy.main()


def test_draws_test_all_others_and_never_divide_a_group(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = bench_of(phantom, tmp_path).parts
    everyone = {*parts.split.test, *parts.split.rest}
    annotated = {patient for part in annotated_parts(parts) for patient in part.patients}
    assert annotated < everyone
    drawn = draw_splits(parts, 2, 3, seed=1)
    trained = [annotated - set(split.test) for split in drawn]
    assert all(len(patients) == 3 for patients in trained)  # one of them to validate on
    assert set().union(*trained) == annotated  # seven of them
    assert all({*split.test, *split.rest} == everyone for split in drawn)
    assert all(
        set(fewer.rest) < set(more.rest) for fewer, more in zip(drawn, draw_splits(parts, 4, 3, seed=1), strict=True)
    )

    one, other = min(annotated), min(everyone - annotated)
    grouped = replace(parts, split=replace(parts.split, groups=((other, one),)))
    for split in draw_splits(grouped, 2, 3, seed=1):
        assert {one, other} <= set(split.test)
    assert possible(parts, [2, len(annotated) - 2, len(annotated) - 1]) == [2, len(annotated) - 2]
    assert "left out: 6 patients to train on" in capsys.readouterr().out


def test_the_weights_that_ship_are_scored_as_a_run_is(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, the palette recognised in every frame."""
    monkeypatch.setattr(levels, "recognised_palette", lambda *_: "jet")
    bench = bench_of(phantom, tmp_path)
    found = read_json(bench.predict_untrained() / "results" / "metrics.json", "metrics")
    parts, run = bench.parts, tmp_path / "as_trained"
    settings = bench.settings(RECOMMENDED).model_copy(update={"precision": "fp32"})
    classes = parts.train.classes
    settings = settings.model_copy(update={"decoder_input": "levels", "decoder": "unet", "base_channels": 24})
    frozen = frozen_input(settings, Checkpoint({}, palette="jet"), run)
    task = RegionTask(frozen, settings, classes, torch.device("cpu"))
    begin_as_taught(task.model.decoder, read_taught(), classes)
    maps = np.concatenate([evaluate(task, part)[1] for part in annotated_parts(parts)])
    confusion = confusion_matrices(maps[:, 0], maps[:, 1], len(classes.names)).sum(0)
    assert found["test/dice_macro"] == pytest.approx(region_scores(confusion, classes)["dice_macro"], abs=2e-3)


@pytest.mark.parametrize(
    "asked",
    [["--arms", "one UNet"], ["--seeds", "2"], ["--folds", "3"], ["--labels", "4"], ["--draws", "3"]],
    ids=lambda asked: asked[0],
)
def test_quick_takes_no_other_sizes_or_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["accuracy", str(tmp_path), "--quick", *asked])
    with pytest.raises(UserError, match=asked[0]):
        accuracy.main()
    assert not list(tmp_path.iterdir())


def test_tables_and_figure_of_one_collection_without_a_curve(tmp_path: Path) -> None:
    arm = {"dice_macro": [0.7, 0.6, 0.8], "left_nipple": [0.5, None, None], "right_nipple": [0.25, 0.1, 0.4]}
    everything = {"frames": {"regions": {"recommended": arm | {"seconds": 12.3}}}}
    assert "| recommended | .700 (.600 to .800) | .500 .250 |  | 12 |" in tables(everything)
    draw_curves(everything, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_tumour_that_stands_out_is_found_by_all_observers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tumours, "DEPTHS", (5.0,))
    monkeypatch.setattr(tumours, "DIAMETERS", (30.0,))
    monkeypatch.setattr("sys.argv", ["tumours", "--patients", "20", "--known", "20"])
    tumours.main()
    cells = [cell.strip() for cell in capsys.readouterr().out.strip().splitlines()[-1].split("|")]
    assert cells[1:4] == ["5", "30", "1.08"]
    assert float(cells[5]) > 100  # in the camera's noise it cannot be missed
    assert float(cells[6]) > 0.6
    assert float(cells[7].split()[0]) > 0.7


def test_detectability_is_that_of_an_auc() -> None:
    assert tumours.detectability(0.5) == 0
    assert tumours.detectability(0.7602) == pytest.approx(1, abs=1e-3)


def test_places_read_one_by_one_are_those_gathered() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 3, 6, 7, generator=generator, requires_grad=True)
    places = torch.stack([torch.randint(side, (2, 5), generator=generator) for side in (6, 7)], -1)
    found = [read(z, places) for read in (plain.gathered, plain.one_by_one)]
    gradients = [torch.autograd.grad(latents.square().sum(), z)[0] for latents in found]
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*gradients)
