"""Gathers all that is known of one event, for `heliograph explain`: from the ledger first, then from the homeserver."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from heliograph.accounts import Account, state_folder
from heliograph.cli.accounts.signed_in import load_secret, open_session
from heliograph.core.encryption.values import Clear
from heliograph.core.events import Event, Json, Malformed
from heliograph.core.explanation import Evidence
from heliograph.core.ids import NOBODY, EventId, EventKey, RoomId, event_key, is_event_id, is_room_id, is_user_id
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, EventRecord, RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.core.room_uri import EventAddress
from heliograph.core.sync.invites import invite_id, is_invite_id
from heliograph.core.value_type import value_type
from heliograph.errors import (
    EXIT_CONFIG,
    EXIT_USAGE,
    HeliographError,
    Refused,
    SecretsLocked,
    ServerError,
    StateError,
    StorageError,
    UserError,
)
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.session import Session
from heliograph.loops.sync.rulebook import BASE_TYPES
from heliograph.store.reader import LedgerReader, open_readonly


@value_type
class Gathered:
    """The evidence, and the problems met in gathering it."""

    account: Account
    room_id: RoomId | None
    evidence: Evidence
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class _Memory:
    """What the ledger tells about the event."""

    account: AccountState = field(default_factory=AccountState)
    record: EventRecord | None = None
    room_id: RoomId | None = None
    facts: RoomFacts | None = None
    invite_serial: int = 0
    gap: str = ""
    problem: str | None = None


async def find_account_of(accounts: Sequence[Account], event_id: str) -> Account:
    """The account whose ledger has the event. Raises UserError unless that is exactly one."""
    if not accounts:
        raise UserError(
            "No account has signed in on this machine.", "heliograph login @you:example.org", exit_code=EXIT_CONFIG
        )
    if len(accounts) == 1:
        return accounts[0]
    key = event_key(event_id)
    knowing = [account for account in accounts if (await _remember(account, key, None)).record is not None]
    if len(knowing) == 1:
        return knowing[0]
    which = "Several accounts know" if knowing else "None of several accounts knows"
    raise UserError(
        f"{which} this event.", f"Say which one: --account {(knowing or accounts)[0].user_id}", exit_code=EXIT_USAGE
    )


async def gather(account: Account, address: EventAddress) -> Gathered:
    """All evidence about the event. Raises HeliographError if nothing at all can be found out."""
    event_id = event_key(address.event_id)
    memory = await _remember(account, event_id, address.room)
    # The predefined rules hold the place until the account's own are known, from the ledger or the homeserver.
    evidence = Evidence(
        account.user_id, Ruleset.predefined(account.user_id), memory.account, record=memory.record, gap=memory.gap
    )
    problems = [memory.problem] if memory.problem else []
    if is_invite_id(event_id):
        evidence = replace(evidence, event=_invite(account.user_id, memory))
    room_id, rules, facts = memory.room_id, memory.account.push_rules, memory.facts
    try:
        async with open_session(account) as session:
            server = HomeserverClient(session)
            if is_event_id(event_id):
                room_id = room_id or await _find_room(account, session, address)
                evidence = replace(evidence, event=await _fetch_event(server, room_id, event_id))
            if rules is None:
                rules = await _unless_refused_rules(server)
            # The ledger's facts were kept current by each sync since they were asked for; half of them explains little.
            if room_id is not None and (facts is None or not facts.is_complete):
                facts = (await server.room_facts([room_id])).get(room_id, facts)
    except (ServerError, SecretsLocked, UserError) as error:
        # The ledger alone can say what happened; without its record there is nothing to tell but the error.
        if memory.record is None:
            raise
        problems.append(_sentence(error))
    if evidence.event is not None and evidence.event.type == "m.room.encrypted":
        evidence = await _decrypted(account, evidence, evidence.event)
    ruleset = _ruleset(rules, account.user_id)
    evidence = replace(evidence, ruleset=ruleset, facts=facts, event_types=ruleset.event_types(BASE_TYPES))
    if memory.record is None and evidence.event is not None and _is_own_invite(evidence.event, account.user_id):
        evidence = replace(evidence, record=await _remember_invite(account, memory))
    if evidence.event is None and evidence.record is None:
        raise UserError(
            f"Heliograph has no record of {address.event_id}.", "Give the id of an event, as '$...', and its --room."
        )
    return Gathered(account, room_id, evidence, tuple(problems))


# The ledger


async def _remember(account: Account, event_id: EventKey, room: str | None) -> _Memory:
    memory = _Memory(room_id=room if is_room_id(room) else None)
    try:
        async with _ledger(account) as ledger:
            memory.account = await ledger.account()
            memory.record = await ledger.event(event_id)
            if memory.record is not None:
                memory.room_id = memory.record.judged.room_id
            if memory.room_id is not None:
                memory.gap = await ledger.gap(memory.room_id)
                sender = None if memory.record is None else memory.record.judged.sender
                known = await ledger.room(memory.room_id, [sender] if is_user_id(sender) else [])
                if known is not None:
                    memory.facts, memory.invite_serial = known.facts, known.invite_serial
    except (StateError, StorageError) as error:
        memory.problem = _sentence(error)
    return memory


async def _remember_invite(account: Account, memory: _Memory) -> EventRecord | None:
    """The ledger's record of the last invite to that room. An invite comes without its event id, so that it is judged
    under an id of ours with a serial number of the room's invites. Once an invite has ended, the room's serial is that
    of the next one."""
    if memory.room_id is None:
        return None
    facts = RoomFacts(memory.room_id)
    with contextlib.suppress(StateError, StorageError):
        async with _ledger(account) as ledger:
            for serial in (memory.invite_serial, memory.invite_serial - 1):
                if (record := await ledger.event(invite_id(RoomRecord(facts, serial)))) is not None:
                    return record
    return None


@contextlib.asynccontextmanager
async def _ledger(account: Account) -> AsyncIterator[LedgerReader]:
    ledger = await open_readonly(state_folder(account.user_id))
    try:
        yield ledger
    finally:
        await ledger.close()


async def _decrypted(account: Account, evidence: Evidence, event: Event) -> Evidence:
    """The evidence with the event decrypted by the daemon's room keys. Nothing is written to disk."""
    from heliograph.encryption.olm.peeking import peek

    try:
        secret = await load_secret(account)
        what = await peek(state_folder(account.user_id), secret.pickle_key, event)
    except (SecretsLocked, UserError, StorageError):
        return evidence
    return replace(evidence, clear=what.payload) if isinstance(what, Clear) else replace(evidence, locked=what)


# The homeserver


async def _find_room(account: Account, session: Session, address: EventAddress) -> RoomId:
    from heliograph.cli.rules.session import RulesSession, known_rooms

    if address.room is None:
        raise UserError(
            f"Heliograph has no record of {address.event_id}, and it is not known in which room it is.",
            "Say which one with --room, or give the link to the event that your client copies.",
        )
    return await RulesSession(account, session, {}, await known_rooms(account.user_id)).room_id(address.room)


async def _fetch_event(server: HomeserverClient, room_id: RoomId, event_id: EventId) -> Event:
    try:
        event = await server.event(room_id, event_id)
    except Refused as refusal:
        raise UserError(
            f"The homeserver shows no event {event_id} in {room_id}: {refusal}.",
            "Check that the event is in this room, and that this account is, too.",
        ) from refusal
    if isinstance(event, Malformed):
        raise UserError(f"The event is malformed: {event.why}.", "Tell whoever runs your homeserver.")
    return event


async def _unless_refused_rules(server: HomeserverClient) -> Json | None:
    with contextlib.suppress(Refused):
        return await server.push_rules()
    return None


def _ruleset(rules: Json | None, user_id: str) -> Ruleset:
    content = rules.get("global") if rules is not None else None
    return Ruleset.parse(content) if isinstance(content, dict) else Ruleset.predefined(user_id)


def _is_own_invite(event: Event, me: str) -> bool:
    return event.type == "m.room.member" and event.state_key == me and event.content.get("membership") == "invite"


def _invite(me: str, memory: _Memory) -> Event | None:
    """The invite as an event, made anew from its judgement: the ledger does not keep invites as they came."""
    judged = None if memory.record is None else memory.record.judged
    if judged is None or judged.room_id is None:
        return None
    sender, content = judged.sender or NOBODY, {"membership": "invite"}
    raw = {"type": "m.room.member", "sender": sender, "state_key": me, "room_id": judged.room_id, "content": content}
    return Event(judged.event_id, judged.room_id, "m.room.member", sender, 0, content, raw, me)


def _sentence(error: HeliographError) -> str:
    return f"{str(error).rstrip('.')}."
