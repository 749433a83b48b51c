from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.system import logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.set_up_log("info", stream)
    return stream


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with (tmp_path / "journal").open("w") as stream:
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        logs.set_up_log("debug", stream)
        yield tmp_path / "journal"


log = logging.getLogger("heliograph.test")


def test_a_line_has_time_and_level(stream: io.StringIO) -> None:
    log.warning("The %s is locked", "keyring")
    time, _, rest = stream.getvalue().partition(" warning: ")
    assert len(time) == len("2024-05-01 12:00:00")
    assert rest == "The keyring is locked\n"


def test_less_than_the_level_is_not_written(stream: io.StringIO) -> None:
    log.debug("x")
    logging.getLogger("nio.client").info("chatty")
    assert stream.getvalue() == ""


def test_the_journal_gets_priorities_and_no_time(journal: Path) -> None:
    for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        log.log(level, "x")
    assert journal.read_text().split() == ["<2>x", "<3>x", "<4>x", "<6>x", "<7>x"]


def test_another_stream_is_not_taken_for_the_journal(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "nonsense", "1:2", ":"):
        monkeypatch.setenv("JOURNAL_STREAM", value)
        assert not logs.is_journal(stream)
        with Path(os.devnull).open() as other:
            assert not logs.is_journal(other)


def test_every_line_of_a_traceback_has_its_priority(journal: Path) -> None:
    try:
        raise ValueError("first\n<0>second")
    except ValueError:
        log.exception("It broke")
    lines = journal.read_text().splitlines()
    assert lines[0] == "<3>It broke"
    assert all(line.startswith("<3>") for line in lines)


def test_what_strangers_wrote_stays_on_one_line_and_commands_nothing(journal: Path) -> None:
    log.info("Room %s", "a\n<0>b\r\x1b[31mc\x00\u202ed\ud800")
    assert journal.read_text() == "<6>Room a\\n<0>b\\r\\x1b[31mc\\x00\\u202ed\\ud800\n"


def test_a_line_has_an_end(journal: Path) -> None:
    log.info("x" * 1_000_000)
    assert len(journal.read_text()) < 5000


@pytest.mark.parametrize(
    "text",
    [
        "syt_YWxpY2U_TqLAkBjNnMvoCyKTZNdP_1wDVbz",
        "mat_abcdefgh12345678_AbCdE",
        "mct_abcdefgh12345678_AbCdE",
        "GET /sync?access_token=SECRET123&since=s1",
        "?loginToken=SECRET123",
        "{'access_token': 'SECRET123', 'device_id': 'D'}",
        '{"access_token":"SECRET123"}',
        '{"password": "SECRET123"}',
        "Authorization: Bearer SECRET123",
    ],
)
def test_tokens_are_taken_out(stream: io.StringIO, text: str) -> None:
    log.info("Sent %s now", text)
    written = stream.getvalue()
    assert "[secret]" in written
    assert "SECRET123" not in written
    assert "AbCdE" not in written
    assert "TqLAkBjNnMvo" not in written


@pytest.mark.parametrize("text", ["the token is no longer good", "Bearer", "passwords", "next_batch s72594_4483_1934"])
def test_plain_sentences_stay_as_they_are(text: str) -> None:
    assert logs.scrub(text) == text


def test_as_json_a_line_is_an_object_with_what_it_is_about_by_name() -> None:
    stream = io.StringIO()
    logs.set_up_log("info", stream, "json")
    log.info("The gateway %s is\ndown", "push.example", extra={"gateway": "push.example", "pushes": 3})
    told = json.loads(stream.getvalue())
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "info",
        "module": "heliograph.test",
        "message": "The gateway push.example is\\ndown",
        "gateway": "push.example",
        "pushes": 3,
    }


def test_as_json_a_traceback_is_one_property_and_tokens_are_taken_out() -> None:
    stream = io.StringIO()
    logs.set_up_log("info", stream, "json")
    try:
        raise ValueError("access_token=abc")
    except ValueError:
        log.exception("It failed", extra={"header": "Bearer abc"})
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert told["traceback"].endswith("ValueError: access_token=[secret]")
    assert told["header"] == "Bearer [secret]"
