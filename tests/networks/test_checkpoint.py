"""Checkpoints: ours come back whole, the authors' load and compute what theirs do, bad files are refused."""

import logging
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from src.encoder import CUTSEncoder
from src.errors import UserError
from src.networks.checkpoint import Checkpoint, load, load_encoder, refuse_leak, restore, save

BLOCKS, WIDTHS = (1, 2, 3, 4), (1, 16, 32, 64, 128)
NORM = ("weight", "bias", "running_mean", "running_var")
GRAY: dict[str, tuple[int, ...]] = {}
for block in BLOCKS:
    GRAY |= {f"conv{block}.weight": (WIDTHS[block], WIDTHS[block - 1], 5, 5), f"conv{block}.bias": (WIDTHS[block],)}
for block in BLOCKS:
    GRAY |= {
        f"batch_norm{block}.{part}": (WIDTHS[block],) for part in ("weight", "bias", "running_mean", "running_var")
    }
    GRAY[f"batch_norm{block}.num_batches_tracked"] = ()
GRAY |= {"recon.recon.weight": (25, 128), "recon.recon.bias": (25,)}
HEAT = GRAY | {"conv1.weight": (16, 3, 5, 5), "recon.recon.weight": (75, 128), "recon.recon.bias": (75,)}
SHAPES = {"gray": GRAY, "heat": HEAT}
FOLDERS = {"gray": "dmr_runs_gray", "heat": "dmr_runs"}


def authors_state(modality: str) -> dict[str, torch.Tensor]:
    """A bare state dict as the authors' code writes it, with values as after training."""
    generator = torch.Generator().manual_seed(11)
    state = {}
    for name, shape in SHAPES[modality].items():
        value = torch.rand(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(1234)
        elif name.endswith("running_var"):
            value = 0.2 + value
        elif name.startswith("batch_norm") and name.endswith(".weight"):
            value = 0.5 + value
        elif len(shape) == 4:
            value = (2 * value - 1) * (3 / (shape[1] * 25)) ** 0.5
        else:
            value = (2 * value - 1) * 0.3
        state[name] = value
    return state


def plain_encoder(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for block in (1, 2, 3, 4):
        x = F.pad(x, (2, 2, 2, 2), mode="replicate")
        x = F.conv2d(x, state[f"conv{block}.weight"], state[f"conv{block}.bias"])
        norm = [state[f"batch_norm{block}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.leaky_relu(F.batch_norm(x, *norm, training=False, eps=1e-5), 0.01)
    return x


def write_encoder(root: Path, modality: str, state: dict[str, torch.Tensor]) -> Path:
    path = root / FOLDERS[modality] / "checkpoints" / "dmr_run.pty"
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    return path


def check_computes_as_the_authors(encoder: CUTSEncoder, state: dict[str, torch.Tensor]) -> None:
    x = torch.rand(2, encoder.in_channels, 21, 26, generator=torch.Generator().manual_seed(2)) * 2 - 1
    hw = torch.cartesian_prod(torch.arange(21), torch.arange(26))[::5].expand(2, -1, -1)
    with torch.no_grad():
        expected, dense, sparse = plain_encoder(state, x), encoder(x), encoder.at(x, hw)
    assert expected.std() > 0.05
    torch.testing.assert_close(dense, expected, atol=1e-5, rtol=0)
    picked = expected[:, :, hw[0, :, 0], hw[0, :, 1]].transpose(1, 2)
    torch.testing.assert_close(sparse, picked, atol=1e-5, rtol=0)


@pytest.mark.parametrize("modality", ["gray", "heat"])
def test_the_authors_file_loads_frozen(tmp_path, modality):
    state = authors_state(modality)
    write_encoder(tmp_path, modality, state)
    encoder, checkpoint = load_encoder(tmp_path, modality)
    assert not encoder.train().training
    assert not any(value.requires_grad for value in encoder.parameters())
    assert checkpoint.patients == []
    assert {name: tuple(value.shape) for name, value in encoder.state_dict().items()} == SHAPES[modality]
    check_computes_as_the_authors(encoder, state)


def test_the_authors_reconstruction_head(tmp_path):
    state = authors_state("heat")
    write_encoder(tmp_path, "heat", state)
    z = torch.rand(2, 4, 128, generator=torch.Generator().manual_seed(0))
    expected = z @ state["recon.recon.weight"].T + state["recon.recon.bias"]
    torch.testing.assert_close(load_encoder(tmp_path, "heat")[0].recon(z), expected)


def test_round_trip(tmp_path):
    model = CUTSEncoder(1, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model(torch.rand(1, 1, 9, 9)).sum().backward()
    optimizer.step()
    ours = Checkpoint(
        model=model.state_dict(),
        settings={"seed": 3, "learning_rate": 1e-3, "gray": True, "name": "run", "nothing": None, "sizes": [5, 5]},
        patients=["1", "22"],
        encoder=CUTSEncoder(3, 2).state_dict(),
        epoch=7,
        best_epoch=4,
        history=[{"epoch": 1, "loss": 0.5, "auc": None}, {"epoch": 2, "loss": 0.25, "auc": 0.75}],
        optimizer=optimizer.state_dict(),
    )
    path = tmp_path / "run.pty"
    save(path, ours)
    save(path, ours)  # over a file that is there
    assert list(tmp_path.iterdir()) == [path]
    back = load(path)
    for part in ("settings", "patients", "epoch", "best_epoch", "history"):
        assert getattr(back, part) == getattr(ours, part), part
    for part in ("model", "encoder"):
        kept, read = getattr(ours, part), getattr(back, part)
        assert list(kept) == list(read)
        assert all(torch.equal(value, read[name]) for name, value in kept.items())
    torch.testing.assert_close(back.optimizer, ours.optimizer, rtol=0, atol=0)
    other = CUTSEncoder(1, 2)
    restore(other, back.model, path)
    torch.optim.AdamW(other.parameters()).load_state_dict(back.optimizer)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in ours.model.items())


def test_our_checkpoint_loads_as_an_encoder(tmp_path):
    path = write_encoder(tmp_path, "gray", {})
    save(path, Checkpoint(model=authors_state("gray"), patients=["7"], settings={"seed": 1}))
    encoder, checkpoint = load_encoder(tmp_path, "gray")
    assert (checkpoint.patients, checkpoint.settings) == (["7"], {"seed": 1})
    check_computes_as_the_authors(encoder, authors_state("gray"))


@pytest.mark.parametrize("keep", [0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("bare", [True, False])
def test_a_truncated_file_is_refused(tmp_path, keep, bare):
    path = tmp_path / "run.pty"
    state = CUTSEncoder(1, 2).state_dict()
    if bare:
        torch.save(state, path)
    else:
        save(path, Checkpoint(model=state))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(UserError, match=r"run\.pty: damaged"):
        load(path)


class Payload:
    """Writes a file the moment it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("writer", ["torch", "pickle", "inside"])
def test_a_pickled_object_is_refused_and_not_run(tmp_path, writer):
    path, target = tmp_path / "run.pty", tmp_path / "touched"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Payload(target), protocol=2))
    elif writer == "torch":
        torch.save(Payload(target), path)
    else:
        torch.save({"format": "llft-1", "model": CUTSEncoder(1, 2).state_dict(), "settings": Payload(target)}, path)
    with pytest.raises(UserError, match=r"run\.pty"):
        load(path)
    assert not target.exists()


@pytest.mark.parametrize("content", [{}, [1, 2], {"weight": 3}, torch.zeros(2), {"format": "llft-1", "novel": 1}])
def test_other_contents_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "run.pty")
    with pytest.raises(UserError, match=r"run\.pty: "):
        load(tmp_path / "run.pty")


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.pty").write_text("no checkpoint at all")
    (tmp_path / "empty.pty").touch()
    torch.save(CUTSEncoder(1, 2), tmp_path / "module.pty")
    torch.save(encoder_state(), tmp_path / "old.pty", _use_new_zipfile_serialization=False)
    for name in ("text.pty", "empty.pty", "module.pty", "old.pty", "missing.pty"):
        with pytest.raises(UserError, match=name):
            load(tmp_path / name)


@pytest.mark.parametrize(
    ("modality", "command"), [("gray", "python main_latent.py --gray"), ("heat", "main_latent.py")]
)
def test_a_missing_encoder_names_the_command(tmp_path, modality, command):
    with pytest.raises(UserError) as caught:
        load_encoder(tmp_path, modality)
    assert f"{command}, with the same --cfg-path and output_root" in str(caught.value)
    assert f"{FOLDERS[modality]}" in str(caught.value)


@pytest.mark.parametrize(("modality", "other"), [("gray", "heat"), ("heat", "gray")])
def test_an_encoder_of_the_other_modality_is_refused(tmp_path, modality, other):
    write_encoder(tmp_path, modality, authors_state(other))
    with pytest.raises(UserError, match=f"not of {modality} frames"):
        load_encoder(tmp_path, modality)


@pytest.mark.parametrize("missing", ["conv1.weight", "recon.recon.weight", "batch_norm2.running_mean"])
def test_an_incomplete_encoder_is_refused(tmp_path, missing):
    state = authors_state("gray")
    del state[missing]
    write_encoder(tmp_path, "gray", state)
    with pytest.raises(UserError, match=missing):
        load_encoder(tmp_path, "gray")


def test_restore_refuses_other_sizes(tmp_path):
    with pytest.raises(UserError, match="does not fit the model"):
        restore(CUTSEncoder(1, 2), CUTSEncoder(1, 4).state_dict(), tmp_path / "run.pty")


def test_refuse_leak(caplog):
    encoder = Checkpoint(model={}, patients=["11", "5", "7"])
    with caplog.at_level(logging.WARNING):
        refuse_leak(encoder, {"1", "2"}, transductive=False)
    assert caplog.records == []
    with pytest.raises(UserError, match=r"2 of this run's 3 test patients \(such as 11\).*transductive: true"):
        refuse_leak(encoder, {"7", "11", "1"}, transductive=False)


def test_refuse_leak_warns_where_it_lets_pass(caplog):
    with caplog.at_level(logging.WARNING):
        refuse_leak(Checkpoint(model={}, patients=["5", "7"]), {"7", "1"}, transductive=True)
        refuse_leak(Checkpoint(model={}), {"7", "1"}, transductive=False)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "saw 1 of 2 test patients" in caplog.records[0].getMessage()
    assert "cannot be ruled out" in caplog.records[1].getMessage()


def encoder_state(**changed):
    return {name: tensor.clone() for name, tensor in CUTSEncoder(1, 2).state_dict().items()} | changed


HOSTILE = {
    "a view of one value a trillion times": encoder_state(**{"conv1.weight": torch.zeros(1).expand(10**6, 10**6)}),
    "a sparse tensor": encoder_state(**{"conv1.weight": torch.eye(3).to_sparse()}),
    "a tensor without values": encoder_state(**{"conv1.weight": torch.ones(2, 1, 5, 5, device="meta")}),
    "shapes that claim terabytes": encoder_state(**{"conv1.weight": torch.ones(100_000, 1, 1, 1)}),
    "a shape of no values": encoder_state(**{"conv1.weight": torch.ones(100_000, 0, 5, 5)}),
    "a shape of no sides": encoder_state(**{"conv1.weight": torch.tensor(1.0)}),
    "weights that are not finite": encoder_state(**{"conv1.bias": torch.full((2,), torch.nan)}),
    "complex weights": encoder_state(**{"conv1.bias": torch.ones(2, dtype=torch.complex64)}),
    "a name that is no text": encoder_state() | {7: torch.ones(1)},
    "one weight too many": encoder_state(more=torch.ones(1)),
}


@pytest.mark.parametrize("state", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("bare", [True, False])
def test_hostile_weights_are_refused(tmp_path, state, bare):
    path = tmp_path / "dmr_runs_gray" / "checkpoints" / "dmr_run.pty"
    path.parent.mkdir(parents=True)
    torch.save(state if bare else {"format": "llft-1", "model": state}, path)
    with pytest.raises(UserError, match=r"dmr_run\.pty: "):
        load_encoder(tmp_path, "gray")


def test_compressed_entries_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(1_000_000)}, tmp_path / "plain.pty")
    path = tmp_path / "run.pty"
    with zipfile.ZipFile(tmp_path / "plain.pty") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert path.stat().st_size < 20_000
    with pytest.raises(UserError, match="compressed"):
        load(path)


def test_a_list_that_holds_itself_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("src.networks.checkpoint._MOST_VALUES", 10_000)
    endless = []
    endless.append(endless)
    torch.save({"format": "llft-1", "model": encoder_state(), "history": endless}, tmp_path / "run.pty")
    with pytest.raises(UserError, match="more values than any checkpoint"):
        load(tmp_path / "run.pty")


@pytest.mark.parametrize(
    "entry",
    [
        *({"model": value} for value in (None, [], {"a": 1}, {1: torch.ones(1)})),
        *(
            {"settings": []},
            {"patients": "0001"},
            {"patients": [1]},
            {"validation": None},
            {"encoder": []},
            {"palette": []},
        ),
        *({"epoch": "1"}, {"epoch": True}, {"best_epoch": -1}, {"history": {}}, {"history": [1]}, {"optimizer": 3}),
        *({"palette": "jets"}, {"begun": {"step": 1}}, {"data": {"frames": 1}}, {"seconds": "1"}),
    ],
)
def test_entries_of_another_type_are_refused(tmp_path, entry):
    torch.save({"format": "llft-1", "model": encoder_state()} | entry, tmp_path / "run.pty")
    with pytest.raises(UserError, match=next(iter(entry))):
        load(tmp_path / "run.pty")


@pytest.mark.parametrize(
    "recorded",
    [
        {"task": "latent", "ema": True},
        {"task": "segmentation", "ensemble": 1},  # what meant nothing else then is refused too
        {"task": "classification", "head": "spots"},
    ],
)
def test_a_checkpoint_with_a_setting_that_nothing_reads_is_refused(tmp_path, recorded):
    path = tmp_path / "run.pty"
    key = list(recorded)[-1]
    torch.save({"format": "llft-1", "model": encoder_state(), "settings": recorded, "average": None}, path)
    with pytest.raises(UserError, match=rf"run\.pty: trained by an earlier version.*\(such as {key}\): train again"):
        load(path)
    save(path, Checkpoint(model=encoder_state(), settings={"task": recorded["task"], "seed": 1}))
    assert load(path).settings["seed"] == 1


def test_an_entry_that_is_gone_and_held_nothing_is_passed_over(tmp_path):
    path = tmp_path / "run.pty"
    torch.save({"format": "llft-1", "model": encoder_state(), "segmenter": None}, path)
    assert load(path).model.keys() == encoder_state().keys()
    torch.save({"format": "llft-1", "model": encoder_state(), "segmenter": encoder_state()}, path)
    with pytest.raises(UserError, match="segmenter"):
        load(path)
