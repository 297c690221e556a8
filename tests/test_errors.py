"""Messages are one line."""

import pytest

from src.errors import UserError, is_printable, one_line, run


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    assert str(UserError("a\nb\x1b[2J\ud800")) == "a\\nb\\x1b[2J\\ud800"
    assert str(UserError("d\u00e9j\u00e0 vu")) == "d\u00e9j\u00e0 vu"
    assert len(str(UserError("x" * 10**6))) == 1000
    assert one_line("abcdef", 5) == "a ..."
    assert is_printable("d\u00e9j\u00e0 vu")
    assert not is_printable("a\tb")


@pytest.mark.parametrize("applies", [True, False])
def test_advice_is_given_where_it_applies(capsys: pytest.CaptureFixture[str], applies: bool) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        run(stopped, "go on with --resume", lambda: applies)
    assert end.value.code == 130
    assert ("go on with --resume" in capsys.readouterr().err) == applies
