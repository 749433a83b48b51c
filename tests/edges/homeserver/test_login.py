from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from edges.login_server import LOGIN_TOKEN, PASSWORD, LoginServer, auth_metadata
from heliograph.errors import LoggedOut, Unreachable, UserError
from heliograph.homeserver.flows import Flow, ask_auth_server, login_flows
from heliograph.homeserver.login import log_in_with_password, log_in_with_token, recognise
from heliograph.homeserver.logout import log_out
from heliograph.homeserver.session import Session
from support.builders import ALICE, ME


@pytest.fixture
def server() -> Iterator[LoginServer]:
    with LoginServer() as server:
        yield server


@pytest.fixture
async def session(server: LoginServer) -> AsyncIterator[Session]:
    session = Session(server.url)
    yield session
    await session.close()


async def with_password(session: Session, password: str = PASSWORD, **options: Any) -> Any:
    return await log_in_with_password(session, ME, password, device_name="Heliograph on desk", **options)


async def test_a_password_signs_in_a_device_with_our_name(server: LoginServer, session: Session) -> None:
    device = await with_password(session)
    assert (device.user_id, device.device_id, device.access_token) == (ME, "DEVICE1", "syt_token1")
    assert server.logins[0]["initial_device_display_name"] == "Heliograph on desk"
    assert "device_id" not in server.logins[0]


async def test_a_signed_in_device_does_not_show_its_token(session: Session) -> None:
    assert "syt_token1" not in repr(await with_password(session))


async def test_a_soft_logout_is_mended_with_the_same_device(server: LoginServer, session: Session) -> None:
    device = await with_password(session, device_id="OLD")
    assert device.device_id == "OLD"
    assert server.logins[0]["device_id"] == "OLD"


async def test_a_login_token_signs_in(session: Session) -> None:
    assert (await log_in_with_token(session, ME, LOGIN_TOKEN, device_name="x")).user_id == ME


async def test_an_access_token_tells_its_device(session: Session) -> None:
    device = await with_password(session)
    assert await recognise(session, ME) == device


async def test_a_dead_access_token_is_told_apart_from_other_refusals(server: LoginServer) -> None:
    session = Session(server.url, access_token="old")
    server.soft_logouts.add("old")
    with pytest.raises(LoggedOut) as refusal:
        await recognise(session, ME)
    assert refusal.value.soft
    await session.close()


async def test_somebody_elses_access_token_is_refused(session: Session) -> None:
    await with_password(session)
    with pytest.raises(UserError, match=f"signs in {ME}, not {ALICE}"):
        await recognise(session, ALICE)


async def test_an_access_token_without_a_device_is_refused(server: LoginServer, session: Session) -> None:
    server.answers["GET /account/whoami"] = 200, {"user_id": ME}
    with pytest.raises(UserError, match="belongs to no device"):
        await recognise(session, ME)


async def test_who_signs_in_as_somebody_else_is_signed_out_again(server: LoginServer, session: Session) -> None:
    server.signs_in_as = ALICE
    with pytest.raises(UserError, match=f"signs in {ALICE}, not {ME}"):
        await with_password(session)
    assert server.devices == {}


@pytest.mark.parametrize(
    ("status", "body", "title", "hint"),
    [
        (403, {"errcode": "M_FORBIDDEN", "error": "no"}, "Wrong user id or password", "Check both"),
        (403, {"errcode": "M_USER_DEACTIVATED", "error": "no"}, "was closed", "ask whoever"),
        (401, {"errcode": "M_USER_LOCKED", "error": "no"}, "is locked", "unlock"),
        (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "no"}, "Wrong user id or password", "Check both"),
        (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 30_000}, "too many attempts", "Wait 30 seconds"),
        (429, {"errcode": "M_LIMIT_EXCEEDED"}, "too many attempts", "Wait some minutes"),
        (400, {"errcode": "M_UNKNOWN", "error": "no such type"}, "does not let us sign in", "--help"),
        (502, "<html>Bad gateway</html>", "does not answer as a homeserver", "try again later"),
        (200, "<html>hello</html>", "does not answer as a homeserver", "Check the URL"),
        (200, {"user_id": ME, "device_id": "D"}, "not one to signing in", "Check the URL"),
        (200, {"user_id": ME, "device_id": "D", "access_token": "a\nb"}, "not one to signing in", "Check the URL"),
        (200, {"user_id": ME, "device_id": "D", "access_token": "a" * 10_000}, "not one to signing in", "Check"),
        (200, {"user_id": 5, "device_id": "D", "access_token": "a"}, "not one to signing in", "Check the URL"),
        (200, [], "not one to signing in", "Check the URL"),
    ],
)
async def test_each_refusal_says_what_to_do(
    server: LoginServer, session: Session, status: int, body: object, title: str, hint: str
) -> None:
    server.answers["POST /login"] = status, body
    with pytest.raises(UserError, match=title) as refusal:
        await with_password(session)
    assert hint in refusal.value.hint


async def test_no_connection_says_so() -> None:
    session = Session("http://127.0.0.1:1")
    with pytest.raises(UserError, match="cannot be reached"):
        await with_password(session)
    await session.close()


async def test_flows_that_are_not_known_are_passed_over(server: LoginServer, session: Session) -> None:
    server.flows = ["m.login.password", "m.login.application_service", "org.example.dance"]
    assert (await login_flows(session)).flows == {Flow.PASSWORD}


@pytest.mark.parametrize(
    ("marks", "prefers_sso"),
    [
        ({}, False),
        ({"oauth_aware_preferred": True}, True),
        ({"org.matrix.msc3824.delegated_oidc_compatibility": True}, True),
        ({"oauth_aware_preferred": False, "org.matrix.msc3824.delegated_oidc_compatibility": False}, False),
        ({"oauth_aware_preferred": "true"}, False),
    ],
)
async def test_a_server_may_prefer_single_sign_on(
    server: LoginServer, session: Session, marks: dict[str, Any], prefers_sso: bool
) -> None:
    server.sso_marks = marks
    offered = await login_flows(session)
    assert offered.flows == {Flow.PASSWORD, Flow.SSO, Flow.TOKEN}
    assert offered.prefers_sso == prefers_sso


async def test_a_mark_of_another_flow_says_nothing_of_single_sign_on(server: LoginServer, session: Session) -> None:
    flows = [{"type": "m.login.password", "oauth_aware_preferred": True}, {"type": "m.login.sso"}]
    server.answers["GET /login"] = 200, {"flows": flows}
    assert not (await login_flows(session)).prefers_sso


@pytest.mark.parametrize("answer", [(200, {"flows": []}), (404, {"errcode": "M_UNRECOGNIZED", "error": "gone"})])
async def test_a_server_with_oauth_only_is_named_so(
    server: LoginServer, session: Session, answer: tuple[int, Any]
) -> None:
    server.answers["GET /login"] = answer
    server.answers["GET /v1/auth_metadata"] = 200, auth_metadata("https://auth.example.org")
    with pytest.raises(UserError, match=r"OAuth 2\.0 alone") as refusal:
        await login_flows(session)
    assert "Leave out --sso" in refusal.value.hint


@pytest.mark.parametrize("path", ["v1/auth_metadata", "unstable/org.matrix.msc2965/auth_metadata"])
async def test_metadata_at_either_path_tell_of_oauth(server: LoginServer, session: Session, path: str) -> None:
    assert not await ask_auth_server(session)
    server.answers[f"GET /{path}"] = 200, auth_metadata("https://auth.example.org")
    assert await ask_auth_server(session)


@pytest.mark.parametrize(
    "answer", [(404, "<html>nothing here"), (405, "no"), (403, {"errcode": "M_FORBIDDEN"}), (200, {}), (200, [])]
)
async def test_an_answer_without_metadata_is_a_no(
    server: LoginServer, session: Session, answer: tuple[int, object]
) -> None:
    server.answers["GET /v1/auth_metadata"] = answer
    assert not await ask_auth_server(session)


UNTOLD = [
    (500, {"errcode": "M_UNKNOWN", "error": "Internal server error"}),
    (502, "<html>Bad gateway"),
    (200, "<html>Welcome to this train"),
    (302, ""),
    (429, {"errcode": "M_LIMIT_EXCEEDED"}),
]


@pytest.mark.parametrize("answer", UNTOLD)
async def test_a_server_that_does_not_tell_whether_it_has_oauth_is_asked_again_later(
    server: LoginServer, session: Session, answer: tuple[int, object]
) -> None:
    server.answers["GET /login"] = 404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}
    server.answers["GET /v1/auth_metadata"] = answer
    for question in (ask_auth_server(session), login_flows(session)):
        with pytest.raises(UserError) as refusal:
            await question
        assert "try again" in refusal.value.hint.lower()
        assert "OAuth" not in refusal.value.title


@pytest.mark.parametrize("answer", [{"flows": [{"type": "m.login.token"}]}, {"flows": "x"}, {"flows": [3]}, []])
async def test_a_server_with_no_known_flow_is_refused(server: LoginServer, session: Session, answer: Any) -> None:
    server.answers["GET /login"] = 200, answer
    with pytest.raises(UserError, match="no way to sign in"):
        await login_flows(session)


async def test_logging_out_removes_our_pushers_and_the_device(server: LoginServer, session: Session) -> None:
    await with_password(session)
    server.pushers = [
        {"app_id": "io.github.heliograph", "pushkey": "ours", "kind": "direct"},
        {"app_id": "io.github.heliograph", "pushkey": "another device's", "kind": "direct"},
        {"app_id": "org.example.phone", "pushkey": "phone", "kind": "http"},
    ]
    await log_out(session, "ours")
    assert [pusher["pushkey"] for pusher in server.pushers] == ["another device's", "phone"]
    assert server.devices == {}


async def test_logging_out_of_what_is_gone_is_no_error(server: LoginServer) -> None:
    session = Session(server.url, access_token="dead")
    await log_out(session, "ours")
    await session.close()


async def test_logging_out_without_the_server_says_so() -> None:
    session = Session("http://127.0.0.1:1", access_token="x")
    with pytest.raises(Unreachable):
        await log_out(session, "ours")
    await session.close()
