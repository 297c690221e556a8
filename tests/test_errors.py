"""Messages are one line."""

from src.errors import UserError, is_printable, one_line


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    assert str(UserError("a\nb\x1b[2J\ud800")) == "a\\nb\\x1b[2J\\ud800"
    assert str(UserError("d\u00e9j\u00e0 vu")) == "d\u00e9j\u00e0 vu"
    assert len(str(UserError("x" * 10**6))) == 1000
    assert one_line("abcdef", 5) == "a ..."
    assert is_printable("d\u00e9j\u00e0 vu")
    assert not is_printable("a\tb")
