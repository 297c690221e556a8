"""Pictures of a prediction are called such as every file system takes, each once; good names stay."""

import os
from pathlib import Path, PurePath, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import UserError
from src.files import NameRefusedError, atomic_write
from src.prediction.output_names import output_names, portable

PARTS = st.text(min_size=1, max_size=300).filter(lambda part: "/" not in part and part not in (".", ".."))
PATHS = st.lists(PARTS, min_size=1, max_size=5).map(lambda parts: PurePath(*parts))


@given(st.sets(PATHS, max_size=8))
def test_every_name_is_short_and_no_other_frames(names: set[PurePath]) -> None:
    found = output_names(names)
    assert set(found) == names
    assert len({path.as_posix().casefold() for path in found.values()}) == len(names)
    assert all(len(os.fsencode(path)) <= 1000 for path in found.values())
    parts = {part for path in found.values() for part in path.parts}
    assert all(0 < len(os.fsencode(part)) <= 143 - len(".png") for part in parts)
    for path in found.values():
        for part in portable(path).parts:
            assert 0 < len(part.encode()) <= 143 - len(".png")
            assert not set(part) & set('<>:"|?*\\\n\0')
            assert part.rstrip(" .") == part
    assert len({portable(path) for path in found.values()}) == len(names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0001/T0001.1.1.S.2012-10-01.00", "José", "a b?"], ["0001/T0001.1.1.S.2012-10-01.00", "José", "a b?"]),
        (["a", "A", "b"], ["a_*", "A", "b"]),
        (["x/y", "X/y"], ["x/y_*", "X/y"]),
        (["a", "a.png/b"], ["a", "a.png_/b"]),
        (["Jose\u0301", "José"], ["Jose\u0301", "José_*"]),
        (["ก" * 82, "ก" * 81 + "ข"], ["ก" * 36 + "*", "ก" * 36 + "*"]),
    ],
)
def test_names_that_are_one_on_some_system_are_told_apart(names: list[str], expected: list[str]) -> None:
    found = output_names(map(PurePath, names))
    assert len(set(found.values())) == len(names)
    for name, pattern in zip(names, expected, strict=True):
        path = found[PurePath(name)]
        assert path.match(pattern) if "*" in pattern else path == PurePosixPath(pattern)


def test_the_longest_name_that_a_file_system_takes_is_written(tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    for name in ("a" * longest, "ก" * (longest // 3)):
        with atomic_write(tmp_path / name) as file:
            file.write(b"content")
        assert (tmp_path / name).read_bytes() == b"content"
    with (
        pytest.raises(NameRefusedError, match="File name too long"),
        atomic_write(tmp_path / ("a" * (longest + 1))) as file,
    ):
        file.write(b"content")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_in_the_way_is_an_error_of_that_name_and_a_forbidden_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    (tmp_path / "b.png").write_bytes(b"")
    for path in (tmp_path / "a.png", tmp_path / "b.png" / "c.png"):
        with pytest.raises(NameRefusedError), atomic_write(path) as file:
            file.write(b"content")
    with pytest.raises(UserError) as caught, atomic_write(Path("/proc/nowhere/a.png")) as file:
        file.write(b"content")
    assert not isinstance(caught.value, NameRefusedError)
