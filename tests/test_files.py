"""Reading that neither waits nor fills the memory, and messages of one line."""

import os
from pathlib import Path

import pytest

from src.errors import UserError, is_printable, one_line
from src.files import is_link, open_plain, read_json, read_plain


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


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    assert str(UserError("a\nb\x1b[2J\ud800")) == "a\\nb\\x1b[2J\\ud800"
    assert str(UserError("d\u00e9j\u00e0 vu")) == "d\u00e9j\u00e0 vu"
    assert len(str(UserError("x" * 10**6))) == 1000
    assert one_line("abcdef", 5) == "a ..."
    assert is_printable("d\u00e9j\u00e0 vu")
    assert not is_printable("a\tb")
