"""S1: what the HTTP stack logs by itself."""

from __future__ import annotations

import logging
import logging.config
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reactive_auth import BetterAuthClient
from reactive_auth.client.redact import RedactSecrets, redact_logs, redact_transport_logs

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1MSJ9.s3cr3t-signature"


@pytest.mark.parametrize(
    "line",
    [
        "x [(b'Set-Cookie', b's3cr3t')]",
        'x [(b"set-cookie", b"s3cr3t\'s")]',
        "x [(b'SET-AUTH-TOKEN', b's3cr3t'), (b'a', b'b')]",
        "x [(b'set-auth-jwt', b's3cr3t')]",
        "x [(b'Set-Better-Auth-Cookie', b's3cr3t')]",
        "x [('authorization', 'Bearer s3cr3t')]",
        r"x [(b'Cookie', b'a=\'s3cr3t')]",
        "illegal header line: bytearray(b'set-cookie: a.session_token=s3cr3t; Path=/')",
        "Adding b'cookie'=b'a=s3cr3t' to the header table, sensitive:True, huffman:True",
        "Decoded (b'set-cookie', b's3cr3t'), consumed 4",
        "Evicting b'set-cookie': b's3cr3t' from the header table",
        "Encoded header block to b's3cr3t'",
        "Decoding b'\\x82s3cr3t'",
        'HTTP Request: GET https://a.test/api/auth/verify-email?token=s3cr3t "HTTP/1.1 200 OK"',
        "HTTP Request: GET https://a.test/x?page=2&ott=s3cr3t&b=1",
        "HTTP Request: GET https://a.test/x?page=2&Access_Token=s3cr3t#top",
        "> Authorization: Bearer s3cr3t",
        "< Set-Cookie: a=s3cr3t; Path=/",
        '> TEXT \'{"type":"Authenticate","value":"eyJhb ... s3cr3t"}\' [812 bytes]',
        " - checking cookie better-auth.session_token=s3cr3t",
        f"whatever {JWT} it was",
    ],
)
def test_s1_a_line_that_carries_a_secret_is_logged_without_it(line: str) -> None:
    record = logging.LogRecord("httpcore", logging.DEBUG, "", 1, "%s", (line,), None)
    assert RedactSecrets().filter(record)
    assert "s3cr3t" not in record.getMessage()
    assert "[redacted]" in record.getMessage()
    assert not record.args


@pytest.mark.parametrize(
    "line",
    [
        "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, [(b'date', b'now')])",
        'HTTP Request: GET https://a.test/api/auth/get-session?page=2&sort=name "HTTP/1.1 200 OK"',
        "connect_tcp.started host='a.test' port=443 local_address=None timeout=10",
    ],
)
def test_a_line_without_one_is_logged_as_it_is(line: str) -> None:
    record = logging.LogRecord("httpcore", logging.DEBUG, "", 1, "%s", (line,), None)
    assert RedactSecrets().filter(record)
    assert record.getMessage() == line
    assert record.args == (line,)


def test_a_malformed_record_is_left_to_its_handler() -> None:
    record = logging.LogRecord("httpx", logging.DEBUG, "", 1, "%d %d", ("one",), None)
    assert RedactSecrets().filter(record)


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def heard(logger: logging.Logger) -> Iterator[list[str]]:
    lines, level = Lines(), logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.DEBUG)
    try:
        yield lines.lines
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


SECRET = "return_value=[(b'set-cookie', b's3cr3t')]"
NAMES = [
    *("httpx", "httpx2", "hpack.hpack", "hpack.table", "http.cookiejar"),
    *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
    *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
]


@pytest.mark.parametrize("name", NAMES)
def test_s1_whoever_makes_a_client_has_the_filter_on_every_logger_of_the_stack(name: str) -> None:
    logger = logging.getLogger(name)
    BetterAuthClient("https://a.test")
    with heard(logger) as own, heard(logging.getLogger()) as of_the_root:
        logger.debug(SECRET)
    for lines in (own, of_the_root):
        assert len(lines) == 1
        assert "s3cr3t" not in lines[0]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_s1_logging_may_be_configured_before_or_after_the_client_is_made(before: bool) -> None:
    def configure() -> None:
        loggers = {"httpcore.http11": {"level": "DEBUG", "propagate": True}}
        logging.config.dictConfig(
            {"version": 1, "disable_existing_loggers": False, "loggers": loggers}
        )

    logger = logging.getLogger("httpcore.http11")
    logger.filters.clear()
    try:
        if before:
            configure()
        redact_transport_logs()
        if not before:
            configure()
        with heard(logger) as lines:
            logger.debug(SECRET)
            logger.disabled = True
            logger.debug(SECRET)
            logger.disabled = False
            logger.debug(SECRET)
    finally:
        logger.disabled = False
        logger.setLevel(logging.NOTSET)
        redact_transport_logs()
    assert len(lines) == 2
    assert "s3cr3t" not in "".join(lines)


def test_the_filter_is_there_once_however_many_clients_are_made() -> None:
    for _ in range(3):
        BetterAuthClient("https://a.test")
    filters = logging.getLogger("httpcore.http11").filters
    assert sum(isinstance(each, RedactSecrets) for each in filters) == 1


def test_s1_other_loggers_and_their_children_are_filtered_on_request_until_it_is_taken_back() -> (
    None
):
    parent = logging.getLogger(f"library-{uuid.uuid4().hex}")
    child = parent.getChild("client")
    other = logging.getLogger(parent.name + "2")
    remove = redact_logs(parent.name)
    with heard(parent) as lines, heard(other) as untouched:
        parent.debug(SECRET)
        child.debug(SECRET)
        other.debug(SECRET)
        assert "s3cr3t" not in "".join(lines)
        assert "s3cr3t" in "".join(untouched)
        remove()
        child.debug(SECRET)
    assert "s3cr3t" in lines[-1]
    assert len(lines) == 3


def test_taking_it_back_leaves_the_http_stack_filtered() -> None:
    redact_transport_logs()
    redact_logs("httpcore")()
    with heard(logging.getLogger("httpcore.http11")) as lines:
        logging.getLogger("httpcore.http11").debug(SECRET)
    assert "s3cr3t" not in lines[0]


def test_s1_on_a_handler_the_filter_sees_everything_that_is_logged_warnings_included() -> None:
    root, lines = logging.getLogger(), Lines()
    lines.addFilter(RedactSecrets())
    root.addHandler(lines)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn(f"what is {JWT}", stacklevel=1)
            logging.captureWarnings(False)
        logging.getLogger(uuid.uuid4().hex).error("a logger of yours: %s", JWT)
    finally:
        logging.captureWarnings(False)
        root.removeHandler(lines)
    assert len(lines.lines) == 2
    assert "s3cr3t" not in "".join(lines.lines)
