"""A folder that cannot be read is named, and the others are read: alike in training, import, prediction, snapshots."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.datasets import source as walking
from src.datasets.dmr_dataset import DMRDataset
from src.datasets.snapshots import derive_snapshots
from src.datasets.source import Skipped
from src.errors import DeviceError, UserError
from src.importing.plan import make_plan
from src.prediction.inputs import find_frames

Folder = Any  # tests/conftest.py: DMRFolder


def trained_on(root: Path) -> tuple[int, dict[str, list[str]]]:
    source = DMRDataset(root)
    return len(source.all_frames["gray"]), source.left_out.reasons


def imported(root: Path) -> tuple[int, dict[str, list[str]]]:
    plan = make_plan(root)
    return len(plan.frames), plan.left_out.reasons


def predicted(root: Path) -> tuple[int, dict[str, list[str]]]:
    skipped = Skipped()
    return len(find_frames(root, skipped)), skipped.reasons


def drawn(root: Path) -> tuple[int, dict[str, list[str]]]:
    counts = derive_snapshots(root)
    found = counts.skipped.reasons
    return counts.made, found


READERS = (trained_on, imported, predicted, drawn)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Lets the system refuse to list folders of a name, as it does for who is not allowed to."""

    def apply(name: str, number: int) -> None:
        plainly = os.scandir

        def scandir(path: Path) -> Any:
            if Path(path).name == name:
                raise OSError(number, os.strerror(number), str(path))
            return plainly(path)

        monkeypatch.setattr(walking.os, "scandir", scandir)

    return apply


@pytest.mark.parametrize("read", READERS)
def test_a_forbidden_folder_is_named_and_the_others_are_read(
    dmr: Folder, refuse: Callable[[str, int], None], read: Callable[[Path], tuple[int, dict[str, list[str]]]]
) -> None:
    for patient in ("0001", "0002", "0003"):
        dmr.frame(patient)
    (dmr.root / "loop").symlink_to("loop")
    (dmr.root / "lost+found").mkdir()
    refuse("0002", errno.EACCES)
    frames, left_out = read(dmr.root)
    assert frames == 2
    assert left_out["folders that cannot be read, with all they hold (Permission denied)"] == ["0002"]
    assert left_out["links, which are not followed"] == ["loop"]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("name", "number", "kind"), [("0002", errno.EIO, DeviceError), ("DMR", errno.EACCES, UserError)]
)
def test_a_failing_disk_and_a_forbidden_data_folder_end_it(
    dmr: Folder,
    refuse: Callable[[str, int], None],
    read: Callable[[Path], tuple[int, dict[str, list[str]]]],
    name: str,
    number: int,
    kind: type[UserError],
) -> None:
    dmr.frame("0001")
    dmr.frame("0002")
    refuse(name, number)
    with pytest.raises(kind, match=f"{name}: .*cannot be read"):
        read(dmr.root)
