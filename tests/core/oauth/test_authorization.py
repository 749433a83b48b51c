from __future__ import annotations

import pytest

from heliograph.core.oauth.authorization import (
    CodePoll,
    is_device_id,
    judge_poll,
    link_to_device,
    make_device_id,
    next_wait_s,
    prove_by,
    scope_for,
)

PAGE = "https://account.example.org/"
ALL = ("org.matrix.device_view", "org.matrix.device_delete", "org.matrix.session_view", "org.matrix.session_end")


def test_the_challenge_is_the_rfcs_for_its_verifier() -> None:
    """https://www.rfc-editor.org/rfc/rfc7636#appendix-B"""
    octets = [
        *(116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186),
        *(22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121),
    ]
    proof = prove_by(bytes(octets))
    assert proof.verifier == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert proof.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_proof_does_not_show_itself() -> None:
    assert repr(prove_by(b"x" * 32)) == "Proof(...)"


def test_the_scope_names_the_device() -> None:
    assert scope_for("ABCDEFGHIJ") == "urn:matrix:client:api:* urn:matrix:client:device:ABCDEFGHIJ"


@pytest.mark.parametrize(
    ("text", "is_fit"),
    [
        ("ABCDEFGHIJ", True),
        ("a-b.c_d~e0", True),
        ("ABCDEFGHI", False),
        ("ABCDEFGHI/", False),
        ("ABCDE FGHIJ", False),
        ("ABCDEFGHIJ\n", False),
        ("Ä" * 10, False),
        ("A" * 256, False),
        ("", False),
    ],
)
def test_a_device_id_fits_into_a_scope_or_does_not(text: str, is_fit: bool) -> None:
    assert is_device_id(text) is is_fit


def test_a_new_device_id_fits_and_follows_the_randomness() -> None:
    assert make_device_id(bytes(range(12))) == "ABCDEFGHIJKL"
    assert make_device_id(b"\xff" * 20) == "V" * 12
    assert is_device_id(make_device_id(bytes(range(100, 112))))


@pytest.mark.parametrize(
    ("error", "poll"),
    [
        ("authorization_pending", CodePoll.PENDING),
        ("slow_down", CodePoll.SLOWER),
        ("access_denied", CodePoll.DENIED),
        ("expired_token", CodePoll.EXPIRED),
        ("invalid_grant", CodePoll.REFUSED),
        ("unsupported_grant_type", CodePoll.REFUSED),
        ("server_error", CodePoll.AGAIN),
        ("rate_limited", CodePoll.AGAIN),
        ("", CodePoll.AGAIN),
    ],
)
def test_the_errors_of_a_device_code_have_a_meaning_each(error: str, poll: CodePoll) -> None:
    assert judge_poll(error) is poll


def test_the_server_is_asked_less_often_when_it_says_so_or_fails() -> None:
    assert next_wait_s(5, CodePoll.PENDING) == 5
    assert next_wait_s(5, CodePoll.SLOWER) == 10
    assert next_wait_s(5, CodePoll.AGAIN) == 10
    assert next_wait_s(59, CodePoll.SLOWER) == next_wait_s(59, CodePoll.AGAIN) == 60


def test_the_link_to_the_device_has_the_specifications_action_first() -> None:
    device = "A/B&C"
    for_all = link_to_device(PAGE, ALL, device, to_delete=True)
    assert for_all == f"{PAGE}?action=org.matrix.device_delete&device_id=A%2FB%26C"
    older = link_to_device(PAGE + "?x=y", ALL[2:], "D", to_delete=True)
    assert older == f"{PAGE}?x=y&action=org.matrix.session_end&device_id=D"
    assert link_to_device(PAGE, ALL, "D", to_delete=False) == f"{PAGE}?action=org.matrix.device_view&device_id=D"


def test_without_a_known_action_the_link_is_the_page() -> None:
    assert link_to_device(PAGE, ("org.matrix.profile",), "D", to_delete=True) == PAGE
    assert link_to_device("", ALL, "D", to_delete=True) == ""
