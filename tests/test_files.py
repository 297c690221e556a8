"""Files are whole or as they were, a folder has one writer at a time, and reading neither waits nor overflows."""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from src import files
from src.datasets.images import read_image
from src.errors import DeviceError, UserError
from src.files import (
    alone_in,
    atomic_write,
    decoded,
    is_link,
    lock,
    open_plain,
    read_json,
    read_plain,
    unlock,
    write_csv,
    write_text,
)
from src.settings import REPOSITORY
from src.settings.file import load

HOLD = (
    "import sys; from pathlib import Path; from src.files import lock; print(lock(Path(sys.argv[1]))); sys.stdin.read()"
)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What the kernel does to a file that grows further: an error in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds a lock."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        yield other
        other.kill()


def save_bytes(path: Path) -> None:
    with atomic_write(path) as file:
        file.write(bytes(200_000))


def save_tensor(path: Path) -> None:
    with atomic_write(path) as file:
        torch.save({"weight": torch.zeros(50_000)}, file)


@pytest.mark.parametrize("save", [save_bytes, save_tensor])
def test_a_full_disk_leaves_the_last_file(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "file"
    path.write_text("before", encoding="utf-8")
    with largest_file(100_000), pytest.raises(UserError, match="file: cannot write: File too large"):
        save(path)
    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_file_and_folder_reach_the_disk_and_an_error_there_leaves_the_last_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flushed = tmp_path / "file", list[bool]()

    def fsync(opened: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{opened}").is_dir())
        if len(flushed) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "before")
    assert flushed == [False, True]
    with pytest.raises(UserError, match="No space left"):
        write_text(path, "after")
    assert path.read_text(encoding="utf-8") == "before"


def test_a_lock_is_free_once_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with held_elsewhere(path) as other:
        assert not lock(path)
        other.kill()
        other.wait()
        assert lock(path)
    assert lock(path)  # again in the same process
    unlock(path)
    with held_elsewhere(path):
        assert not lock(path)


def test_processes_that_load_batches_hold_no_lock(tmp_path: Path) -> None:
    assert lock(tmp_path / ".lock")
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)
        os._exit(0)
    try:
        unlock(tmp_path / ".lock")  # as the kernel does for a killed training
        with held_elsewhere(tmp_path / ".lock"):
            pass
    finally:
        os.write(told, b"x")
        os.waitpid(child, 0)


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with atomic_write(tmp_path / "large.u8") as file:
            file.write(b"half")
            os._exit(0)
    os.waitpid(child, 0)
    assert [path.name for path in tmp_path.iterdir()] == [f".large.u8.{child}.partial"]
    with alone_in(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock"}


def test_a_failing_disk_is_no_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (20, 20)).save(tmp_path / "frame.png")
    write_text(tmp_path / "file.json", "{}")
    with pytest.raises(UserError, match="cannot read") as absent:
        read_json(tmp_path / "absent.json", "it")
    assert not isinstance(absent.value, DeviceError)

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", fail)
        patched.setattr(files.Path, "open", fail)
        patched.setattr(files.Path, "read_text", fail)
        for read in (lambda: read_image(tmp_path / "frame.png"), lambda: read_json(tmp_path / "file.json", "it")):
            with pytest.raises(DeviceError, match="Input/output error; try again"):
                read()


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path, tmp_path / "missing"):
        with pytest.raises(OSError, match=path.name):
            open_plain(path)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_plain(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        read_plain(path, 4)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b"1" * 5000, b'{"a": 1} 2', b"\0"])
def test_what_is_no_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"^.{1,1000}$"):
        read_json(path, "the list")


def test_a_link_is_one_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "c").symlink_to(tmp_path / "a")
    assert not is_link(tmp_path / "a" / "b" / "file", tmp_path)
    assert is_link(tmp_path / "c" / "b" / "file", tmp_path)
    assert not is_link(tmp_path / "c" / "b" / "file", tmp_path / "c")


TEXT = '{"id": 1, "name": "Jos\N{LATIN SMALL LETTER E WITH ACUTE}"}'
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_is_text_whatever_marks_it_begins_with(tmp_path: Path, encoding: str) -> None:
    assert decoded(TEXT.encode(encoding)) == TEXT
    (tmp_path / "a.json").write_bytes(TEXT.encode(encoding))
    assert read_json(tmp_path / "a.json", "the test") == json.loads(TEXT)
    (tmp_path / "a.yaml").write_bytes("task: latent\nmodality: gray\nlearning_rate: 1e-3\n".encode(encoding))
    assert load(tmp_path / "a.yaml", [f"dataset_path={tmp_path}"]).task == "latent"


def test_text_in_no_known_encoding_is_refused_or_read_otherwise() -> None:
    with pytest.raises(UnicodeDecodeError):
        decoded("é".encode("latin-1"))
    assert decoded("é".encode("latin-1"), "latin-1") == "é"
    assert decoded(b"\xff\xfea", "latin-1") == "\N{REPLACEMENT CHARACTER}"  # half a letter of UTF-16
    assert decoded(b"") == ""


# A zero behind the mark of UTF-16 makes it that of UTF-32.
@given(
    st.text().filter(lambda text: text[:1] not in ("\ufeff", "\0")), st.sampled_from(("utf-8-sig", "utf-16", "utf-32"))
)
def test_every_text_with_a_mark_is_read_back(text: str, encoding: str) -> None:
    assert decoded(text.encode(encoding)) == text


def test_a_table_keeps_names_that_are_no_text_and_numbers_to_the_last_digit(tmp_path: Path) -> None:
    name = b"b\xe4se"  # latin-1, as an old camera or disk has it
    rows = [[os.fsdecode(name), 0.1 + 0.2, None], ['a "b", c', 1, ""]]
    write_csv(tmp_path / "a.csv", ["frame", "value", "warnings"], rows)
    lines = [b"frame,value,warnings", name + b",0.30000000000000004,", b'"a ""b"", c",1,', b""]
    assert (tmp_path / "a.csv").read_bytes() == b"\n".join(lines)
