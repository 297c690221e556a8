"""Snapshots: derived from matrix or gray frame, never over an existing one, and no damaged file stops the rest."""

import io
import os
import struct
from functools import partial
from pathlib import Path, PurePath

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from src.datasets.prepare import main
from src.datasets.snapshots import derive_snapshots, encode_jpeg, make_snapshot, recognised_palette
from src.errors import run


def ramp(height: int = 48, width: int = 64) -> np.ndarray:
    return np.linspace(20.0, 35.0, height * width).reshape(height, width)


def save_gray(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path, quality=95)


def test_snapshot_spans_the_palette_over_the_frames_own_range() -> None:
    frame = np.full((480, 640), 21.0)
    frame[:, 320:] = 34.0
    snapshot = make_snapshot(frame, "JET")
    assert snapshot.shape == (120, 160, 3)
    assert_array_equal(snapshot[0, 0], [0, 0, 128])  # jet's cold end is blue, its hot end red
    assert_array_equal(snapshot[0, -1], [128, 0, 0])
    assert_array_equal(snapshot, make_snapshot(frame * 3 + 7))
    assert_array_equal(make_snapshot(frame, "bone"), make_snapshot(frame, "COLORMAP_BONE"))


def as_read(frame: np.ndarray, palette: str) -> np.ndarray:
    file = io.BytesIO(encode_jpeg(make_snapshot(frame, palette)))
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


@pytest.mark.parametrize("palette", ["jet", "inferno", "hot", "hsv", "rainbow", "viridis", "bone"])
def test_palettes_are_recognised_after_jpeg(palette: str) -> None:
    frames = np.stack([as_read(ramp() ** power, palette) for power in (1, 2)])
    assert recognised_palette(frames) == palette


def test_colours_of_no_palette_or_of_two_are_not_guessed() -> None:
    assert recognised_palette(as_read(ramp(), "twilight")[None]) is None  # twilight_shifted has the same
    assert recognised_palette(np.random.default_rng(0).integers(0, 256, (2, 3, 60, 80), np.uint8)) is None
    assert recognised_palette(np.repeat(as_read(ramp(), "bone")[None, :1], 3, axis=1)) is None


def test_degrees_are_resampled_not_colours() -> None:
    frame = np.zeros((240, 320))
    frame[:, ::2] = 1.0  # every snapshot pixel covers as much of the warm as of the cold
    assert len(np.unique(make_snapshot(frame).reshape(-1, 3), axis=0)) == 1
    assert_array_equal(
        make_snapshot(frame)[0, 0], make_snapshot(np.linspace(0, 1, 255)[None].repeat(120, 0))[0, 80], 40
    )


def test_snapshots_come_from_matrix_or_gray_and_never_replace_one(tmp_path: Path) -> None:
    gray = np.tile(np.arange(160, dtype=np.uint8), (120, 1))
    save_gray(tmp_path / "0001" / "a.jpg", gray)
    save_gray(tmp_path / "0001" / "b.jpg", gray)
    save_gray(tmp_path / "0002" / "deep" / "c.jpg", gray)
    np.savetxt(tmp_path / "0001" / "b.txt", ramp()[::-1], fmt="%.2f")
    (tmp_path / "0002" / "deep" / "c_snap.jpg").write_bytes(b"mine")
    counts = derive_snapshots(tmp_path)
    assert (counts.made, counts.existed, counts.skipped.reasons) == (2, 1, {})
    assert (tmp_path / "0002" / "deep" / "c_snap.jpg").read_bytes() == b"mine"
    for name, expected in (("a", make_snapshot(gray)), ("b", make_snapshot(ramp()[::-1]))):
        snapshot = np.asarray(Image.open(tmp_path / "0001" / f"{name}_snap.jpg"), dtype=float)
        assert np.abs(snapshot - expected).mean() < 8
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = derive_snapshots(tmp_path, "hot")
    assert (again.made, again.existed) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_snapshot_of_other_letters_counts_as_one(tmp_path: Path) -> None:
    save_gray(tmp_path / "a.jpg", ramp())
    (tmp_path / "a_SNAP.JPG").write_bytes(b"mine")
    counts = derive_snapshots(tmp_path)
    assert (counts.made, counts.existed) == (0, 1)
    assert not (tmp_path / "a_snap.jpg").exists()


def test_damaged_frames_are_reported_by_reason_and_the_rest_is_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160))
    for name in ("good", "cut", "cut2", "huge", "matrix"):
        save_gray(tmp_path / f"{name}.jpg", noise)
    for name in ("cut", "cut2"):
        (tmp_path / f"{name}.jpg").write_bytes((tmp_path / f"{name}.jpg").read_bytes()[:-900])
    (tmp_path / "matrix.txt").write_text("no numbers\nin here\n")
    header = (tmp_path / "huge.jpg").read_bytes()
    (tmp_path / "huge.jpg").write_bytes(header.replace(struct.pack(">HH", 120, 160), struct.pack(">HH", 60000, 60000)))
    caplog.set_level("INFO")
    run(lambda: main(["snaps", str(tmp_path)]))
    assert sorted(path.name for path in tmp_path.glob("*_snap.jpg")) == ["good_snap.jpg"]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 3
    assert any("2 frame(s)" in line and "truncated" in line and "cut.jpg, cut2.jpg" in line for line in warnings)
    assert any("megapixels: huge.jpg" in line for line in warnings)
    assert any("not a number" in line and "matrix.jpg" in line for line in warnings)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_nothing_to_work_on_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "only_snap.jpg").write_bytes(b"")
    for arguments, words in (
        ([str(tmp_path)], "no gray frame"),
        ([str(tmp_path / "absent")], "no folder"),
        ([str(tmp_path), "--palette", "sepia"], "unknown palette 'sepia'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run(partial(main, ["snaps", *arguments]))
        assert f"error: {words}" in capsys.readouterr().err
    (tmp_path / "broken.jpg").write_bytes(b"not a JPEG")
    with pytest.raises(SystemExit, match="2"):
        run(lambda: main(["snaps", str(tmp_path)]))


def test_links_and_pipes_are_left_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160))
    folder = tmp_path / "data"
    folder.mkdir()
    save_gray(folder / "good.jpg", noise)
    save_gray(folder / "piped.jpg", noise)
    save_gray(tmp_path / "outside.jpg", noise)
    (folder / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    os.mkfifo(folder / "piped.txt")
    os.mkfifo(folder / "pipe.jpg")
    counts = derive_snapshots(folder)
    assert counts.made == 1
    assert {reason: [PurePath(path).name for path in paths] for reason, paths in counts.skipped.reasons.items()} == {
        "links, which are not followed": ["link.jpg"],
        "the matrix cannot be read (no plain file)": ["piped.jpg"],
    }
