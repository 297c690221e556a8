"""The three entry scripts as a user runs them, on a small phantom: every shipped YAML, test mode, resume, errors."""

import csv
import json
import math
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from undrawn import draw_nothing

from src.evaluation.classification import classification_scores
from src.networks import checkpoint as checkpoints
from src.settings import REPOSITORY

SCRIPTS = {"latent": "main_latent.py", "classification": "main_binary.py", "seg": "main_seg.py"}
CASES = [(encoder, decoder) for encoder in "gh" for decoder in "gh"]
TINY = ["image_size=[48, 64]", "batch_size=4", "max_epochs=1", "precision=fp32"]  # the same numbers on every processor
TINY_ENCODER = [*TINY, "num_kernels=2", "sampled_patches_per_image=4", "min_steps_per_epoch=2"]
TINY_DECODER = [*TINY, "base_channels=2"]
CHAIN = ["dmr_runs", "dmr_runs_gray"] + [
    f"dmr_runs_{task}_{encoder}_enc_{decoder}_dec" for task in ("classification", "seg") for encoder, decoder in CASES
]


def flags_of(task: str, encoder: str, decoder: str) -> list[str]:
    if task == "latent":
        return ["--gray"] * (encoder == "g")
    return ["--gray_encoder"] * (encoder == "g") + ["--gray_decoder"] * (decoder == "g")


def run_here(script: str, *arguments: str) -> None:
    """The script in this process, which spares the seconds that a new one needs to import torch."""
    before = sys.argv
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(str(REPOSITORY / script), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = before


def run_alone(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own, started in another folder."""
    command = [sys.executable, str(REPOSITORY / script), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=os.environ)


def train_chain(
    config: Path, phantom: Path, root: Path, *changes: str, drawn: Sequence[tuple[str, str, str]] = ()
) -> Path:
    """All ten runs of a folder of settings, one epoch each, at a size that takes seconds; figures of those `drawn`."""
    places = ["--cfg-path", str(config), "--set", f"dataset_path={phantom}", f"output_root={root}"]
    runs = [("latent", (encoder, ""), TINY_ENCODER) for encoder in "hg"]
    runs += [(task, case, TINY_DECODER) for task in ("seg", "classification") for case in CASES]
    for task, (encoder, decoder), sizes in runs:
        with pytest.MonkeyPatch.context() as patch:
            if (task, encoder, decoder) not in drawn:
                draw_nothing(patch)
            run_here(SCRIPTS[task], *flags_of(task, encoder, decoder), *places, *sizes, *changes)
    return root


@pytest.fixture(scope="module")
def chain(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output root of the ten runs of `config/`; of those whose figures show frames of one kind, one has them drawn."""
    drawn = [
        ("latent", "h", ""),
        ("latent", "g", ""),
        ("seg", "h", "h"),
        ("seg", "g", "g"),
        ("classification", "h", "h"),
    ]
    return train_chain(REPOSITORY / "config", phantom, tmp_path_factory.mktemp("chain"), drawn=drawn)


@pytest.fixture(autouse=True)
def _figures_are_those_of_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nothing(monkeypatch)


@pytest.fixture
def encoder_run(phantom: Path, tmp_path: Path) -> Callable[..., Path]:
    """Trains a heat encoder, four epochs unless told otherwise, below a folder of the test."""

    def train(name: str, *arguments: str) -> Path:
        root = tmp_path / name
        places = [f"dataset_path={phantom}", f"output_root={root}"]
        overrides = [*TINY_ENCODER[:-1], "min_steps_per_epoch=2", "max_epochs=4"]
        run_here("main_latent.py", "--set", *places, *overrides, *arguments)
        return root / "dmr_runs"

    return train


def scores_of(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "results" / "metrics.json").read_text(encoding="utf-8"))
    return found


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- all settings


@pytest.mark.parametrize("name", CHAIN)
def test_each_run_leaves_its_files(chain: Path, name: str) -> None:
    run = chain / name
    for path in ("checkpoints/dmr_run.pty", "checkpoints/last.pty", "results/split.json", "logs/train.log"):
        assert (run / path).stat().st_size > 0, path
    assert ("enc" in name) == (run / "checkpoints" / "prediction.pty").is_file()
    assert list((run / "logs").glob("events.out.tfevents.*"))
    assert (run / "results" / "audit.json").exists() == name.startswith("dmr_runs_classification")
    pictures = {"dmr_runs_c": {"roc_and_confusion", "reliability"}, "dmr_runs_s": {"regions", "worst", "dice"}}
    expected = pictures.get(name[:10], {"latents"}) | {"loss_curves"}
    assert {path.stem for path in (run / "results" / "figures").iterdir()} == expected
    record = yaml.safe_load((run / "logs" / "settings.yaml").read_text(encoding="utf-8"))
    assert record["settings"]["max_epochs"] == 1
    assert record["provenance"]["packages"]["torch"] == "2.14.1"


@pytest.mark.parametrize("name", CHAIN)
def test_scores_are_flat_finite_and_complete(chain: Path, name: str) -> None:
    scores = scores_of(chain / name)
    expected = {
        "dmr_runs": ("test/loss", "test/contrastive", "test/reconstruction"),
        "dmr_runs_c": ("test/frame_auc", "test/patient_auc", "test/patient_balanced_accuracy"),
        "dmr_runs_s": ("test/dice_macro", "test/iou_macro", "test/dice/left_breast", "test/pixel_accuracy"),
    }
    for key in (*expected.get(name[:10], expected["dmr_runs"]), "seconds", "peak_memory_mb"):
        assert math.isfinite(scores[key]), key


@pytest.mark.parametrize("name", CHAIN[2:])
def test_frozen_encoder_leaves_decoder_training_as_it_went_in(chain: Path, name: str) -> None:
    encoder = "dmr_runs_gray" if "_g_enc" in name else "dmr_runs"
    before = checkpoints.load(chain / encoder / "checkpoints" / "dmr_run.pty").model
    after = checkpoints.load(chain / name / "checkpoints" / "dmr_run.pty").encoder
    assert after is not None
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_all_runs_share_one_split(chain: Path) -> None:
    shared = json.loads((chain / "split.json").read_text(encoding="utf-8"))
    for name in CHAIN:
        copy = json.loads((chain / name / "results" / "split.json").read_text(encoding="utf-8"))
        assert copy["test"] == shared["test"]
        assert not set(copy["test"]) & {*copy["train"], *copy["validation"]}
        seen = checkpoints.load(chain / name / "checkpoints" / "dmr_run.pty").patients
        assert sorted(seen) == sorted({*copy["train"], *copy["validation"]})


def test_classification_scores_follow_from_the_predictions(chain: Path) -> None:
    run = chain / "dmr_runs_classification_h_enc_h_dec"
    rows = [row for row in rows_of(run) if row["part"] == "test"]
    labels, probabilities = (np.array([float(row[column]) for row in rows]) for column in ("label", "probability"))
    scores = scores_of(run)
    patients, threshold = [row["patient"] for row in rows], scores["threshold"]
    for name, value in classification_scores(patients, labels, probabilities, threshold).items():
        assert scores[f"test/{name}"] == pytest.approx(value), name


@pytest.mark.parametrize("name", CHAIN[2:])
def test_intervals_hold_the_scores_that_metrics_json_has(chain: Path, name: str) -> None:
    scores = scores_of(chain / name)
    intervals = json.loads((chain / name / "results" / "intervals.json").read_text(encoding="utf-8"))
    main_score = "test/dice_macro" if "_seg_" in name else "test/patient_auc"
    assert intervals[main_score]["value"] == pytest.approx(scores[main_score])
    for found in intervals.values():
        if found["low"] is None:
            assert found["reason"] or found["value"] is None
        else:
            assert found["low"] <= found["value"] <= found["high"]


@pytest.mark.parametrize(("folder", "precision"), [("demo", "bf16"), ("recommended", "fp32")])
def test_other_settings_run_through(phantom: Path, tmp_path: Path, folder: str, precision: str) -> None:
    root = train_chain(REPOSITORY / "config" / folder, phantom, tmp_path, f"precision={precision}")
    assert {path.parent.parent.name for path in root.glob("*/results/metrics.json")} == set(CHAIN)


# ---------------------------------------------------------------- test mode


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("main_latent.py", "dmr_runs"),
        ("main_binary.py", "dmr_runs_classification_h_enc_h_dec"),
        ("main_seg.py", "dmr_runs_seg_h_enc_h_dec"),
    ],
)
def test_mode_test_from_another_folder_gives_the_same_scores(
    chain: Path, phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, name: str
) -> None:
    """One in a process of its own, which takes seconds to begin."""
    before, rows = scores_of(chain / name), None if name == "dmr_runs" else rows_of(chain / name)
    (chain / name / "results" / "metrics.json").unlink()
    sizes = TINY_ENCODER if script == "main_latent.py" else TINY_DECODER
    places = [f"dataset_path={phantom}", f"output_root={chain}"]
    command = [script, "--mode", "test", "--set", *places, *sizes]
    if script == "main_seg.py":
        done = run_alone(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    else:
        monkeypatch.chdir(tmp_path)
        run_here(*command)
    after = scores_of(chain / name)
    assert after == {key: before[key] for key in after}
    assert {key for key in before if key.startswith("test/")} <= after.keys()
    assert rows is None or rows_of(chain / name) == rows
    (chain / name / "results" / "metrics.json").write_text(json.dumps(before), encoding="utf-8")


def test_what_a_run_was_not_trained_with_is_no_test_of_it(
    chain: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dmr_runs", "dmr_runs_seg_h_enc_h_dec"):
        shutil.copytree(chain / name, tmp_path / name)
    data = tmp_path / "data"
    shutil.copytree(phantom, data)
    places = ["--set", f"dataset_path={data}", f"output_root={tmp_path}"]
    with pytest.raises(SystemExit):
        run_here("main_latent.py", "--mode", "test", *places, *TINY_ENCODER, "temperature=0.1")
    assert "temperature: 0.5 then, 0.1 now" in capsys.readouterr().err

    # The same regions under other ids, as another export numbers them.
    path = data / "52_instances_default.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    count = len(content["categories"])
    for entry, key in [(one, "id") for one in content["categories"]] + [
        (one, "category_id") for one in content["annotations"]
    ]:
        entry[key] = entry[key] % count + 1
    path.write_text(json.dumps(content), encoding="utf-8")
    for flags in (["--mode", "test"], ["--resume"]):
        (tmp_path / "split.json").write_bytes((chain / "split.json").read_bytes())
        with pytest.raises(SystemExit):
            run_here("main_seg.py", *flags, *places, *TINY_DECODER)
        assert "left_breast, right_breast" in capsys.readouterr().err
    results = Path("dmr_runs_seg_h_enc_h_dec", "results", "metrics.json")
    assert (tmp_path / results).read_bytes() == (chain / results).read_bytes()


# ---------------------------------------------------------------- resume


def assert_same_training(one: Path, other: Path) -> None:
    left, right = (checkpoints.load(run / "checkpoints" / "last.pty") for run in (one, other))
    assert left.epoch == right.epoch
    assert all(torch.equal(value, right.model[key]) for key, value in left.model.items())
    texts = [(run / "logs" / "metrics.jsonl").read_text(encoding="utf-8") for run in (one, other)]
    assert texts[0] == texts[1]


def test_resume_with_other_settings_names_the_difference(
    encoder_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    encoder_run("run")
    with pytest.raises(SystemExit) as end:
        encoder_run("run", "learning_rate=0.5", "--resume")
    assert end.value.code == 2
    assert "learning_rate: 0.001 then, 0.5 now" in capsys.readouterr().err


def test_resume_after_another_encoder_or_split_is_refused(
    chain: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dmr_runs", "dmr_runs_classification_h_enc_h_dec"):
        shutil.copytree(chain / name, tmp_path / name)
    (tmp_path / "split.json").write_bytes((chain / "split.json").read_bytes())
    arguments = ["--resume", "--set", f"dataset_path={phantom}", f"output_root={tmp_path}", *TINY_DECODER]
    saved = checkpoints.load(tmp_path / "dmr_runs" / "checkpoints" / "dmr_run.pty")
    saved.model["conv1.bias"] += 1
    checkpoints.save(tmp_path / "dmr_runs" / "checkpoints" / "dmr_run.pty", saved)
    with pytest.raises(SystemExit):
        run_here("main_binary.py", *arguments)
    assert "encoder: another one now" in capsys.readouterr().err

    split = json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))
    split["test"], split["rest"] = split["test"][1:], [*split["rest"], split["test"][0]]
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    record = (tmp_path / "dmr_runs_classification_h_enc_h_dec" / "results" / "split.json").read_bytes()
    with pytest.raises(SystemExit):
        run_here("main_binary.py", *arguments)
    assert "patients" in capsys.readouterr().err
    assert (tmp_path / "dmr_runs_classification_h_enc_h_dec" / "results" / "split.json").read_bytes() == record


def test_resume_on_other_frames_or_regions_is_refused(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom, data)
    places = ["--set", f"dataset_path={data}", f"output_root={tmp_path}", "decoder_input=pixels", *TINY_DECODER]
    run_here("main_seg.py", *places)
    run = tmp_path / "dmr_runs_seg_h_enc_h_dec"
    trained = json.loads((run / "results" / "split.json").read_text(encoding="utf-8"))["train"][0]
    annotated, (frame,) = data / "52_instances_default.json", (data / trained).glob("*_snap.jpg")
    content = json.loads(annotated.read_text(encoding="utf-8"))
    image = next(one["id"] for one in content["images"] if trained in one["file_name"])
    shape = next(one for one in content["annotations"] if one["image_id"] == image)
    shape["segmentation"][0][0] += 3
    another = next(path for path in data.glob("*/*_snap.jpg") if path != frame)
    replaced = {annotated: json.dumps(content).encode(), frame: another.read_bytes()}
    for path, other in replaced.items():
        before = path.read_bytes()
        path.write_bytes(other)
        with pytest.raises(SystemExit):
            run_here("main_seg.py", "--resume", *places)
        what = "training labels" if path == annotated else "training frames"
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"cannot resume, changed are: {what}: others now; --overwrite" in error
        path.write_bytes(before)  # at another time, which is no change
    run_here("main_seg.py", "--resume", *places)


def test_keeping_latents_changes_no_result(chain: Path, phantom: Path, tmp_path: Path) -> None:
    runs = []
    for kept in (0, 1, 2048):
        root = tmp_path / str(kept)
        root.mkdir()
        (root / "split.json").write_bytes((chain / "split.json").read_bytes())
        places = ["--encoder-ckpt-root", str(chain), "--set", f"dataset_path={phantom}", f"output_root={root}"]
        # One frame's latents take 0.2 MB: 1 MB keeps some frames and not others.
        run_here("main_seg.py", *places, *TINY_DECODER, "max_epochs=3", f"latent_memory_mb={kept}")
        runs.append(root / "dmr_runs_seg_h_enc_h_dec")
    assert_same_training(runs[0], runs[2])
    assert_same_training(runs[1], runs[2])


def test_early_stop_counts_from_the_best_epoch(encoder_run: Callable[..., Path]) -> None:
    run = encoder_run("run", "learning_rate=30.0", "max_epochs=40", "patience=2")
    scores = scores_of(run)
    assert scores["epochs"] == scores["best_epoch"] + 2
    losses = [json.loads(line)["val/loss"] for line in (run / "logs" / "metrics.jsonl").read_text().splitlines()]
    assert losses.index(min(losses)) + 1 == scores["best_epoch"]
    best = checkpoints.load(run / "checkpoints" / "dmr_run.pty")
    assert best.epoch == best.best_epoch == scores["best_epoch"]


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("main_latent.py", ["--set", "bach_size=3"], "did you mean 'batch_size'?"),
        ("main_latent.py", ["--cfg-path", "nowhere"], "cannot read the settings"),
        ("main_binary.py", [], "train it first: python main_latent.py"),
        ("main_seg.py", ["--mode", "test"], "no trained run there"),
        ("main_seg.py", ["--set", "annotation_file=none.json", "decoder_input=pixels"], "no annotation file there"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], script: str, arguments: list[str], message: str
) -> None:
    places = ["--set", f"dataset_path={phantom}", f"output_root={tmp_path}"]
    with pytest.raises(SystemExit) as end:
        run_here(script, *places, *arguments)
    assert end.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


def test_an_encoder_that_saw_test_patients_is_refused(
    chain: Path, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--set", f"dataset_path={phantom}", f"output_root={tmp_path}", "seed=5", *TINY_DECODER]
    with pytest.raises(SystemExit) as end:
        run_here("main_binary.py", "--encoder-ckpt-root", str(chain), *places)
    assert end.value.code == 2
    assert "test patients" in capsys.readouterr().err


# ---------------------------------------------------------------- frames of one's own


@pytest.mark.parametrize(("task", "case"), [("classification", ("g", "h")), ("seg", ("h", "g"))])
def test_predict_mode_needs_no_data_folder(
    chain: Path, phantom: Path, tmp_path: Path, task: str, case: tuple[str, str]
) -> None:
    patient = next(path for path in sorted(phantom.iterdir()) if path.is_dir())
    shutil.copytree(patient, tmp_path / "mine")
    (tmp_path / "mine" / "broken.jpg").write_bytes(b"nothing")
    places = ["--input", str(tmp_path / "mine"), "--output", str(tmp_path / "out"), "--set", f"output_root={chain}"]
    run_here(SCRIPTS[task], "--mode", "predict", *flags_of(task, *case), *places, "dataset_path=/nowhere")
    with (tmp_path / "out" / "frames.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["unit"] == "C"
    assert row["unlike_training"] in ("yes", "no")
    assert (tmp_path / "out" / "index.html").is_file()


def test_latents_and_clusters_on_request(chain: Path, phantom: Path) -> None:
    places = ["--set", f"output_root={chain}", f"dataset_path={phantom}", *TINY_ENCODER]
    run_here("main_latent.py", "--mode", "test", "--export-latents", "--clusters", "3", *places)
    results = chain / "dmr_runs" / "results"
    latents = sorted((results / "latents").rglob("*.npy"))
    clusters = sorted((results / "clusters").rglob("*.png"))
    tested = json.loads((results / "split.json").read_text(encoding="utf-8"))["test"]
    assert len(latents) == len(clusters) >= len(tested)
    values = np.load(latents[0])
    assert (values.dtype, values.shape) == (np.float16, (16, 48, 64))
    assert latents[0].parent.name in tested
    with Image.open(clusters[0]) as image:
        assert np.unique(np.asarray(image)).max() < 3
        assert image.size == (64, 48)


@pytest.mark.parametrize("script", ["main_seg.py", "main_binary.py"])
def test_a_missing_encoder_is_noticed_before_frames_are_read(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    with pytest.raises(SystemExit):
        run_here(script, "--set", f"dataset_path={phantom}", f"output_root={tmp_path / 'out'}", *TINY_DECODER)
    assert "no heat encoder there; train it first: python main_latent.py" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
