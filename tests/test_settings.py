"""Settings: the YAML that is shipped loads, and every mistake is one line that says what is accepted."""

import ast
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src import cli
from src.errors import UserError
from src.settings import (
    REPOSITORY,
    TASKS,
    ClassificationSettings,
    LatentSettings,
    RunSettings,
    SegmentationSettings,
    with_defaults,
)
from src.settings.fields import Kind, fields_of
from src.settings.file import load, load_run

SHIPPED = sorted((REPOSITORY / "config").rglob("*.yaml"))
Writer = Callable[..., Path]


@pytest.fixture
def latent(tmp_path: Path) -> list[str]:
    """The fewest lines that load."""
    return ["task: latent", "modality: heat", f"dataset_path: '{tmp_path}'", "learning_rate: 1e-3"]


def complaint(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(path, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_three_folders_of_the_same_ten_files_are_shipped() -> None:
    names = {folder: {path.name for path in SHIPPED if path.parent == folder} for folder in {p.parent for p in SHIPPED}}
    config = REPOSITORY / "config"
    assert names.keys() == {config, config / "demo", config / "recommended"}
    assert all(len(of_folder) == 10 and of_folder == names[config] for of_folder in names.values())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_shipped_file_loads(path: Path, tmp_path: Path) -> None:
    settings = load(path, [f"dataset_path={tmp_path}"])
    assert settings.dataset_path == tmp_path
    named = {"dmr_cfg": "latent", "dmr_cla": "classification", "dmr_seg": "segmentation"}
    assert settings.task == named[path.name[:7]]
    if isinstance(settings, LatentSettings):
        assert settings.modality == ("gray" if "gray" in path.name else "heat")
    else:
        assert settings.case in path.name


def test_unknown_key_suggests_the_nearest(write_yaml: Writer, latent: list[str]) -> None:
    path = write_yaml(*latent, "max_epoch: 3")
    text = complaint(path)
    for part in (str(path), "max_epoch", "3", "did you mean 'max_epochs'?"):
        assert part in text


def test_unknown_key_without_a_near_one_lists_what_is_accepted(write_yaml: Writer, latent: list[str]) -> None:
    text = complaint(write_yaml(*latent, "zzzzzzzz: 3"))
    assert "zzzzzzzz" in text
    assert "learning_rate" in text


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("batch_size: many", "a whole number >= 1"),
        ("batch_size: 2.5", "a whole number >= 1"),
        ("batch_size: 0", "a whole number >= 1"),
        ("transductive: 1", "true or false"),
        ("max_epochs: '3'", "a whole number >= 1"),
        ("modality: thermal", "'gray' or 'heat'"),
        ("patience: 0", "a whole number or null"),
        ("views: front", "a list of whole numbers"),
        ("learning_rate: .nan", "a number > 0"),
        ("lambda_contrastive_loss: 2", "a number >= 0 <= 1"),
        ("train_val_ratio: '8:x'", "'7:3'"),
        ("train_val_ratio: 8:x", "'7:3'"),
        ("train_val_ratio: '8:0'", "'7:3'"),
        ("train_val_ratio: 8", "a text"),
        ("patch_size: 4", "an odd number"),
        ("patch_size: 121", "less than the 120 rows and 160 columns"),
        ("seed: 4294967296", "a whole number >= 0 < 4294967296"),
        ("train_val_ratio: 8:0000000000000000001", "'7:3'"),
        ("image_size: [48, 5000]", "a list of"),
        ("output_root: ~nosuchuser/runs", "whose home folder exists"),
        (f"dataset_path: {'x' * 300}", "an existing folder"),
        ("dataset_path: /nowhere/at/all", "an existing folder"),
        ("patients: '0001'", "a list of texts"),
        ("patients: [1.5]", "a list of texts"),
    ],
)
def test_impossible_value(write_yaml: Writer, latent: list[str], line: str, accepted: str) -> None:
    key, _, value = line.partition(": ")
    path = write_yaml(*(kept for kept in latent if not kept.startswith(f"{key}:")), line)
    text = complaint(path)
    for part in (str(path), key, value.strip("'").removeprefix("."), f"{accepted}"):
        assert part in text
    assert "accepted" in text


def test_patch_as_large_as_the_frame(write_yaml: Writer, latent: list[str]) -> None:
    path = write_yaml(*latent, "image_size: [33, 48]", "patch_size: 33")
    assert "patch_size: 33: less than the 33 rows and 48 columns" in complaint(path)
    assert isinstance(load(path, ["patch_size=31"]), LatentSettings)


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_frame_too_small_for_a_decoder(write_yaml: Writer, tmp_path: Path, task: str) -> None:
    lines = ("encoder_modality: gray", "decoder_modality: heat", f"dataset_path: '{tmp_path}'", "learning_rate: 1e-3")
    path = write_yaml(f"task: {task}", *lines, "image_size: [31, 64]")
    assert "image_size: [31, 64]: at least 32 rows and 32 columns are accepted" in complaint(path)
    assert load(path, ["image_size=[32, 32]"]).image_size == (32, 32)


def test_what_a_run_recorded_and_nothing_reads_any_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    known = f"settings: {{task: latent, modality: heat, dataset_path: '{tmp_path}', learning_rate: 0.1}}"
    (tmp_path / "logs" / "settings.yaml").write_text(known.replace("}", ", ema: true}"))
    with pytest.raises(UserError, match=r"settings\.yaml: trained by an earlier version.*\(such as ema\): train again"):
        load_run(tmp_path)
    (tmp_path / "logs" / "settings.yaml").write_text(known)
    assert load_run(tmp_path).learning_rate == 0.1


def test_settings_recorded_before_a_key_was_there_have_its_default() -> None:
    assert with_defaults({"task": "segmentation", "decoder_input": "pixels"})["decide"] == "argmax"


@pytest.mark.parametrize("kind", TASKS.values(), ids=lambda kind: kind.__name__)
def test_every_key_says_what_it_belongs_to(kind: type[RunSettings]) -> None:
    of_each = [fields_of(kind, one) for one in Kind]
    assert sum(map(len, of_each)) == len(kind.model_fields) - 1  # none in two
    assert set().union(*of_each) == kind.model_fields.keys() - {"task"}
    assert {"output_root", "num_workers"} <= fields_of(kind, Kind.MACHINE)
    assert "learning_rate" not in fields_of(kind, Kind.MACHINE, Kind.NETWORK, Kind.LENGTH)


def test_every_key_is_explained() -> None:
    files = (REPOSITORY / "src").glob("settings*.py")
    unexplained = [
        one.target.id
        for file in files
        for kind in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(kind, ast.ClassDef) and kind.name.endswith("Settings")
        for one, following in itertools.pairwise([*kind.body, ast.Pass()])
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        if not (isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant))
    ]
    assert unexplained == []


@pytest.mark.parametrize("key", ["1", "on", "null", "1.5", "2020-10-10"])
def test_a_key_that_is_no_text(write_yaml: Writer, latent: list[str], key: str) -> None:
    path = write_yaml(*latent, f"{key}: 3")
    text = complaint(path)
    assert text.startswith(str(path))
    assert "nothing reads this key" in text


@pytest.mark.parametrize("value", ["2020-13-45", "!!int abc", "!!int ''", "!!float x", "!!bool maybe", "!!timestamp x"])
def test_a_value_that_does_not_fit_its_tag(write_yaml: Writer, latent: list[str], value: str) -> None:
    assert "not valid YAML" in complaint(write_yaml(*latent, f"seed: {value}"))
    assert "--set" in complaint(write_yaml(*latent), f"seed={value}")


def test_missing_key(write_yaml: Writer, latent: list[str]) -> None:
    path = write_yaml(*latent[:-1])
    text = complaint(path)
    for part in (str(path), "learning_rate", "missing", "a number > 0"):
        assert part in text


def test_a_name_that_nothing_reads_goes_before_a_folder_that_is_absent(write_yaml: Writer, latent: list[str]) -> None:
    absent = [line if not line.startswith("dataset_path") else "dataset_path: nowhere" for line in latent]
    text = complaint(write_yaml(*absent), "max_epoch=3")
    assert "did you mean 'max_epochs'" in text
    assert text.endswith("(and 1 more)")


def test_several_mistakes_are_counted(write_yaml: Writer, latent: list[str]) -> None:
    assert complaint(write_yaml(*latent, "batch_size: 0", "seed: -1")).endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("name", "ours"),
    [("dmr_seg_h_enc_h_dec.yaml", "config/dmr_seg_h_enc_h_dec.yaml holds"), ("mine.yaml", "a file of config/ holds")],
)
def test_a_file_of_the_published_code_names_the_one_to_take(tmp_path: Path, name: str, ours: str) -> None:
    path = tmp_path / name
    lines = ["dataset_name: 'DMR Annotated'", "model_save_path: 'runs/dmr_run.pty'", "log_folder: 'runs/logs'"]
    path.write_text("\n".join([*lines, "random_seed: 2021", "train_val_ratio: '8:2'"]), encoding="utf-8")
    text = complaint(path, "output_root=x")
    for part in (str(path), "the format of the published code, which differs", ours, "--cfg-path", "--set"):
        assert part in text


def test_unknown_task(write_yaml: Writer) -> None:
    text = complaint(write_yaml("task: regression"))
    assert "'regression'" in text
    assert "latent, classification, segmentation" in text


@pytest.mark.parametrize("text", ["[1, 2", "a: b: c", "- a\n- b", "", "just text", "[" * 500])
def test_what_is_no_mapping(write_yaml: Writer, text: str) -> None:
    path = write_yaml(text)
    assert str(path) in complaint(path)


def test_absent_file(tmp_path: Path) -> None:
    assert "absent.yaml" in complaint(tmp_path / "absent.yaml")


def test_duplicate_key(write_yaml: Writer, latent: list[str]) -> None:
    text = complaint(write_yaml(*latent, "seed: 1", "seed: 2"))
    assert "'seed' is given twice" in text


def test_numbers_are_those_of_yaml_1_2(write_yaml: Writer, latent: list[str]) -> None:
    settings = load(write_yaml(*latent, "train_val_ratio: 7:3", "weight_decay: 1e-4"))
    assert settings.learning_rate == 0.001
    assert settings.weight_decay == 0.0001
    assert settings.train_val_ratio == "7:3"
    assert settings.train_share == pytest.approx(0.7)


@pytest.mark.parametrize("word", ["on", "off", "auto"])
def test_words_that_yaml_has_for_true_and_false_are_those_that_are_accepted(tmp_path: Path, word: str) -> None:
    base = REPOSITORY / "config" / "dmr_seg_h_enc_h_dec.yaml"
    found = load(base, [f"dataset_path={tmp_path}", f"checkpoint_activations={word}"])
    assert found.model_dump()["checkpoint_activations"] == word


def test_overrides_win(write_yaml: Writer, latent: list[str]) -> None:
    path = write_yaml(*latent, "seed: 1", "batch_size: nonsense")
    overrides = ["seed=5", "batch_size=4", "learning_rate=1e-2", "train_val_ratio=6:4", "views=[1, 2]", "seed=6"]
    settings = load(path, overrides)
    assert (settings.seed, settings.batch_size, settings.learning_rate) == (6, 4, 0.01)
    assert (settings.train_val_ratio, settings.views) == ("6:4", (1, 2))


def test_mistake_in_an_override_names_the_override(write_yaml: Writer, latent: list[str]) -> None:
    path = write_yaml(*latent)
    text = complaint(path, "batch_size=0")
    assert text.startswith("--set: batch_size: 0")
    assert "did you mean 'seed'?" in complaint(path, "sed=0")
    assert "'key=value' is accepted" in complaint(path, "seed")
    assert "not valid YAML" in complaint(path, "seed=[1")


def test_patients_are_names_even_where_they_look_like_numbers(write_yaml: Writer, latent: list[str]) -> None:
    settings = load(write_yaml(*latent, "patients: [0017, 1234, 'P 3']"))
    assert settings.patients == ("0017", "1234", "P 3")


def test_strata_belong_to_a_classification(write_yaml: Writer, tmp_path: Path, latent: list[str]) -> None:
    lines = ("task: classification", "encoder_modality: gray", "decoder_modality: gray", f"dataset_path: '{tmp_path}'")
    settings = load(write_yaml(*lines, "learning_rate: 5e-3", "strata: [year, jpeg_step]"))
    assert isinstance(settings, ClassificationSettings)
    assert settings.strata == ("year", "jpeg_step")
    assert "nothing reads this key" in complaint(write_yaml(*latent, "strata: [year]"))


def test_paths_start_at_the_repository(write_yaml: Writer, tmp_path: Path) -> None:
    lines = ("task: segmentation", "encoder_modality: gray", "decoder_modality: heat", f"dataset_path: '{tmp_path}'")
    settings = load(write_yaml(*lines, "learning_rate: 5e-3", "output_root: runs"))
    assert isinstance(settings, SegmentationSettings)
    assert settings.output_root == REPOSITORY / "runs"
    assert settings.run_name == "dmr_runs_seg_g_enc_h_dec"


BOMB = [f"{new}: &{new} [{', '.join(['*' + old] * 9)}]" for old, new in zip("abcdefghi", "bcdefghij", strict=True)]


@pytest.mark.parametrize("lines", [["a: &a [1]", *BOMB, "batch_size: *j"], ["batch_size: &a [*a]"], ["<<: *nobody"]])
def test_aliases_are_refused(write_yaml: Writer, latent: list[str], lines: list[str]) -> None:
    text = complaint(write_yaml(*latent, *lines))
    assert "alias" in text
    assert len(text) < 1000


@pytest.mark.parametrize("value", [r'"runs\0"', r'"runs\n"', r'"\uD800"'])
def test_a_path_that_no_system_has(write_yaml: Writer, latent: list[str], value: str) -> None:
    assert "output_root" in complaint(write_yaml(*latent, f"output_root: {value}"))


def test_a_long_value_is_one_short_line(write_yaml: Writer, latent: list[str]) -> None:
    text = complaint(write_yaml(*latent, f"batch_size: {'x' * 10_000}"))
    assert len(text) <= 1000
    assert "a whole number >= 1 is accepted" in text


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system [true]", "!!python/name:os.system"])
def test_nothing_in_a_file_is_run(write_yaml: Writer, latent: list[str], value: str) -> None:
    assert "python" in complaint(write_yaml(*latent, f"batch_size: {value}"))


def test_what_is_no_plain_file_of_settings(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "many.yaml").write_text("".join(f"k{n}: 1\n" for n in range(2000)))
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 100_000)
    for path in tmp_path.iterdir():
        complaint(path)


def test_a_list_without_brackets_is_told_how_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"in brackets: image_size='\[60,80\]'"):
        load(REPOSITORY / "config" / "demo" / "dmr_cfg.yaml", [f"dataset_path={tmp_path}", "image_size=60,80"])


def test_a_setting_tried_as_a_flag_is_told_where_it_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["main_seg.py", "--epochs", "3"])
    with pytest.raises(SystemExit):
        cli.parse_decoder("")
    assert "--epochs 3; a setting goes with --set, as in --set max_epochs=VALUE" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["main_seg.py", "--gray-encoder", "--gray-decoder"])
    found = cli.parse_decoder("")
    assert (found.encoder, found.decoder) == ("gray", "gray")
