"""The steps of a life, drawn from its seed.

Most are drawn one by one. What hurts needs several in a row, which chance seldom makes: chains, of which every life
has two or three.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from system.lives.step import Kind, Life, Mode, Step

ROOMS = 4
LENGTH = 22
"""Steps, about."""
_SECOND_ACCOUNT = 0.3
_WITH_RELAY = 0.5
_BEFORE = 0.35
"""How often something is unread before the daemon's first start."""

_WEIGHTS: Mapping[Kind, int] = {
    Kind.SAY: 8,
    Kind.SAY_MENTION: 4,
    Kind.SAY_ROOM: 1,
    Kind.SAY_NOTICE: 1,
    Kind.SAY_EMOTE: 1,
    Kind.SAY_HTML: 1,
    Kind.SAY_IMAGE: 1,
    Kind.SAY_STICKER: 1,
    Kind.SAY_POLL: 1,
    Kind.SAY_REPLY: 2,
    Kind.SAY_IN_THREAD: 4,
    Kind.SAY_KEYWORD: 2,
    Kind.SAY_ODD: 1,
    Kind.SAY_OURSELVES: 1,
    Kind.CALL: 1,
    Kind.HANG_UP: 1,
    Kind.TAKE_CALL: 1,
    Kind.EDIT: 3,
    Kind.EDIT_TO_MENTION: 1,
    Kind.REDACT: 2,
    Kind.MODERATE: 1,
    Kind.REACT: 2,
    Kind.UNREACT: 1,
    Kind.RENAME: 1,
    Kind.RENAME_SENDER: 1,
    Kind.RENAME_OURSELVES: 1,
    Kind.INVITE: 2,
    Kind.INVITE_DIRECT: 1,
    Kind.ACCEPT: 2,
    Kind.DECLINE: 1,
    Kind.RETRACT: 1,
    Kind.LEAVE: 1,
    Kind.KICK: 1,
    Kind.BAN: 1,
    Kind.COME_BACK: 2,
    Kind.UPGRADE: 1,
    Kind.READ: 3,
    Kind.READ_SOME: 3,
    Kind.READ_REACTION: 1,
    Kind.READ_MAIN: 2,
    Kind.READ_THREAD: 2,
    Kind.MARK_FULLY: 1,
    Kind.READ_AND_MARK: 2,
    Kind.MUTE: 1,
    Kind.MENTIONS_ONLY: 1,
    Kind.LOUD: 2,
    Kind.ADD_KEYWORD: 1,
    Kind.DROP_KEYWORD: 1,
    Kind.IGNORE: 1,
    Kind.UNIGNORE: 1,
    Kind.SILENCE: 1,
    Kind.UNSILENCE: 1,
    Kind.OPEN: 1,
    Kind.PRESS_READ: 1,
    Kind.PRESS_MUTE: 1,
    Kind.TYPE_REPLY: 1,
    Kind.PRESS_ACCEPT: 1,
    Kind.PRESS_DECLINE: 1,
    Kind.DISMISS: 2,
    Kind.EXPIRE: 1,
    Kind.INBOX_READ: 1,
    Kind.INBOX_REPLY: 1,
    Kind.PAUSE: 1,
    Kind.RESUME: 2,
    Kind.LOCK: 1,
    Kind.UNLOCK: 2,
    Kind.START: 2,
    Kind.STOP: 1,
    Kind.KILL: 1,
    Kind.SCREEN_RESTARTS: 1,
    Kind.RELAY_RESTARTS: 1,
}

_BEFORE_KINDS = (Kind.SAY, Kind.SAY, Kind.SAY_MENTION, Kind.SAY_IN_THREAD, Kind.INVITE, Kind.READ, Kind.CHATTER)
_TALK = (Kind.SAY, Kind.SAY_MENTION, Kind.SAY_KEYWORD, Kind.SAY_IN_THREAD, Kind.SAY_REPLY)
_RELATIONS = (Kind.EDIT, Kind.REDACT, Kind.MODERATE, Kind.REACT, Kind.EDIT_TO_MENTION, Kind.HANG_UP)
_READINGS = (Kind.READ, Kind.READ_SOME, Kind.READ_MAIN, Kind.READ_THREAD, Kind.READ_REACTION, Kind.READ_AND_MARK)

Chain = Callable[[random.Random], Sequence[Kind]]
"""Kinds of steps that follow one another in one room."""


def _long_absence(dice: random.Random) -> Sequence[Kind]:
    """More happens in one room than a sync brings, and something of it is about what is open."""
    away = [dice.choice(_TALK), dice.choice(_RELATIONS), Kind.FLOOD, dice.choice(_TALK)]
    dice.shuffle(away)
    return Kind.SAY, dice.choice((Kind.STOP, Kind.KILL)), *away, Kind.START


def _mention_in_absence(dice: random.Random) -> Sequence[Kind]:
    """In a room of which only mentions ring."""
    return Kind.MENTIONS_ONLY, Kind.STOP, Kind.SAY_MENTION, dice.choice((Kind.FLOOD, Kind.SAY)), Kind.START


def _rejoin(dice: random.Random) -> Sequence[Kind]:
    away = dice.random() < 0.5
    out = dice.choice((Kind.LEAVE, Kind.KICK, Kind.BAN))
    steps = [Kind.SAY, out, dice.choice(_TALK), Kind.COME_BACK, dice.choice(_TALK)]
    return [Kind.SAY, Kind.STOP, *steps[1:], Kind.START] if away else steps


def _count_of_zero(dice: random.Random) -> Sequence[Kind]:
    """The server counts nothing unread, and a marker is set at what is no message."""
    return (
        Kind.MENTIONS_ONLY,
        Kind.REACT,
        Kind.SAY_MENTION,
        Kind.READ_REACTION,
        dice.choice((Kind.MARK_FULLY, Kind.SAY)),
    )


def _threads(dice: random.Random) -> Sequence[Kind]:
    talk = [Kind.SAY, Kind.SAY_IN_THREAD, Kind.SAY, Kind.SAY_IN_THREAD]
    return *talk, dice.choice((Kind.READ_MAIN, Kind.READ_THREAD)), dice.choice(_READINGS)


def _invite_in_absence(dice: random.Random) -> Sequence[Kind]:
    end = dice.choice((Kind.ACCEPT, Kind.DECLINE, Kind.RETRACT, Kind.SAY))
    return Kind.STOP, Kind.INVITE, end, Kind.START, dice.choice((Kind.PRESS_ACCEPT, Kind.PRESS_DECLINE, Kind.ACCEPT))


def _read_in_absence(dice: random.Random) -> Sequence[Kind]:
    away = [dice.choice(_TALK), dice.choice(_READINGS), dice.choice((Kind.FLOOD, Kind.SAY, Kind.CHATTER))]
    return Kind.SAY, dice.choice((Kind.STOP, Kind.KILL)), *away, Kind.START, Kind.SAY


def _quiet(dice: random.Random) -> Sequence[Kind]:
    quiet = (Kind.PAUSE, Kind.RESUME), (Kind.LOCK, Kind.UNLOCK), (Kind.QUIET_HOURS, Kind.NO_QUIET_HOURS)
    on, off = dice.choice((*quiet, (Kind.QUIET_BUT, Kind.NO_QUIET_HOURS)))
    return on, dice.choice(_TALK), dice.choice((*_RELATIONS, *_READINGS, Kind.SAY)), off


def _rules_in_absence(dice: random.Random) -> Sequence[Kind]:
    rule = dice.choice((Kind.MUTE, Kind.MENTIONS_ONLY, Kind.ADD_KEYWORD, Kind.IGNORE, Kind.LOUD))
    return Kind.STOP, rule, dice.choice(_TALK), dice.choice((Kind.LOUD, Kind.UNIGNORE, Kind.SAY)), Kind.START


def _lost_screen(dice: random.Random) -> Sequence[Kind]:
    return Kind.SAY, Kind.SAY, Kind.SCREEN_RESTARTS, dice.choice(_TALK), dice.choice((Kind.READ, Kind.EDIT, Kind.OPEN))


def _many_in_absence(dice: random.Random) -> Sequence[Kind]:
    return Kind.STOP, Kind.CHATTER, dice.choice(_RELATIONS), dice.choice((Kind.SAY, Kind.READ_SOME)), Kind.START


def _killed_in_talk(dice: random.Random) -> Sequence[Kind]:
    return Kind.SAY, Kind.SAY_AND_KILL, dice.choice((Kind.START, Kind.SAY)), Kind.START, Kind.SAY


def _phone_rings(dice: random.Random) -> Sequence[Kind]:
    away = (dice.choice(_TALK), dice.choice((*_READINGS, *_TALK, Kind.REDACT)))
    return dice.choice((Kind.STOP, Kind.KILL)), *away, Kind.WAIT_FOR_PHONE, Kind.START


def _late_key(dice: random.Random) -> Sequence[Kind]:
    """What only its clear text lets ring rings late; and what rings already says then what it says."""
    rule = dice.choice(((), (Kind.MENTIONS_ONLY,)))
    orders = (
        (Kind.SAY_BEFORE_KEY, dice.choice((Kind.SAY, Kind.REACT, *_READINGS)), Kind.BRING_KEYS),
        (Kind.STOP, Kind.SAY_BEFORE_KEY, Kind.START, Kind.BRING_KEYS),
        (Kind.SAY_BEFORE_KEY, Kind.KILL, Kind.BRING_KEYS, Kind.START),
    )
    return *rule, *dice.choice(orders), dice.choice((Kind.SAY, Kind.READ, Kind.REDACT))


def _burst(dice: random.Random) -> Sequence[Kind]:
    """News of so many rooms that they become one summary."""
    end = dice.choice((Kind.DISMISS, Kind.SAY, Kind.SAY_EVERYWHERE, Kind.INBOX_READ, *_RELATIONS, *_READINGS))
    return Kind.FEW_POPUPS, Kind.STOP, Kind.SAY_EVERYWHERE, Kind.START, end, Kind.MANY_POPUPS


def _brief_call(dice: random.Random) -> Sequence[Kind]:
    away = (Kind.STOP, Kind.CALL_BRIEFLY, Kind.START), (Kind.PAUSE, Kind.CALL_BRIEFLY, Kind.RESUME)
    return *dice.choice(((Kind.CALL_BRIEFLY,), *away)), dice.choice((Kind.SAY, Kind.READ, Kind.HANG_UP))


def _homeserver_restarts(dice: random.Random) -> Sequence[Kind]:
    restart = (Kind.HOMESERVER_RESTARTS, dice.choice((*_TALK, *_RELATIONS, *_READINGS)))
    return Kind.SAY, *dice.choice((restart, (Kind.STOP, *restart, Kind.START))), Kind.SAY


def _names(dice: random.Random) -> Sequence[Kind]:
    """Names by which one sender can be taken for another, or for nobody."""
    rename = dice.choice((Kind.RENAME_ALIKE, Kind.RENAME_ALIKE, Kind.RENAME_TO_ID, Kind.RENAME_TO_NOTHING))
    steps = [Kind.SAY, rename, dice.choice(_TALK), dice.choice((Kind.RENAME_SENDER, Kind.EDIT, Kind.FLOOD)), Kind.SAY]
    return [Kind.STOP, *steps, Kind.START] if dice.random() < _AWAY else steps


def _calls(dice: random.Random) -> Sequence[Kind]:
    call = dice.choice((Kind.RING, Kind.RING, Kind.CALL, Kind.CALL_ANOTHER))
    ends = Kind.JOIN_CALL, Kind.DECLINE_CALL, Kind.TAKE_CALL, Kind.HANG_UP
    steps = [call, dice.choice(ends), dice.choice((call, Kind.SAY)), dice.choice((*ends, Kind.READ))]
    return [Kind.STOP, *steps, Kind.START] if dice.random() < _AWAY else steps


def _ban_of_sender(dice: random.Random) -> Sequence[Kind]:
    steps = [Kind.SAY, Kind.SAY_MENTION, Kind.BAN_SENDER, dice.choice((Kind.SAY, Kind.EDIT, Kind.FLOOD))]
    place = dice.randrange(1, len(steps))
    return [*steps[:place], Kind.STOP, *steps[place:], Kind.START] if dice.random() < _AWAY else steps


def _reaction_in_thread(dice: random.Random) -> Sequence[Kind]:
    end = dice.choice((Kind.READ_REACTION_IN_THREAD, Kind.READ_REACTION_IN_THREAD, Kind.READ_REACTION, Kind.READ_MAIN))
    steps = [Kind.SAY, Kind.SAY_IN_THREAD, Kind.REACT_IN_THREAD, dice.choice((Kind.SAY_IN_THREAD, Kind.SAY)), end]
    return [*steps[:2], Kind.STOP, *steps[2:], Kind.START] if dice.random() < _AWAY else steps


def _impossible_times(dice: random.Random) -> Sequence[Kind]:
    steps = [Kind.SAY_IN_FUTURE, Kind.SAY_LONG_AGO, Kind.SAY]
    dice.shuffle(steps)
    steps.append(dice.choice(_READINGS))
    return [Kind.STOP, *steps, Kind.START] if dice.random() < _AWAY else steps


def _longer_absence(dice: random.Random) -> Sequence[Kind]:
    """A mention, of which the homeserver may not know, and more after it than two syncs bring."""
    rule = dice.choice((Kind.MENTIONS_ONLY, Kind.MUTE, Kind.SAY))
    about = dice.choice((Kind.READ_SOME, Kind.REDACT, Kind.EDIT, Kind.SAY, Kind.RENAME_ALIKE))
    return rule, dice.choice((Kind.STOP, Kind.KILL)), Kind.SAY_MENTION, Kind.FLOOD, about, Kind.FLOOD, Kind.START


def _relay_leaves(dice: random.Random) -> Sequence[Kind]:
    """What comes while the relay is out rings at the desktop and at the phone, or where the user is."""
    away = [dice.choice(_TALK), Kind.WAIT_FOR_PHONE]
    out = [Kind.STOP, *away, Kind.START] if dice.random() < _AWAY else [dice.choice(_TALK)]
    death = [dice.choice((Kind.RELAY_KILLED, Kind.RELAY_RESTARTS))] if dice.random() < _AWAY else []
    # Where it is not put back, the life ends without it.
    back = [Kind.RELAY_COMES_BACK, Kind.SAY, Kind.SAY] if dice.random() < _BACK else []
    return Kind.SAY, Kind.RELAY_LEAVES, *death, *out, *back, dice.choice((Kind.SAY, *_READINGS))


def _relay_dies(dice: random.Random) -> Sequence[Kind]:
    away = dice.random() < _AWAY
    death = (dice.choice((Kind.RELAY_KILLED, Kind.RELAY_RESTARTS)), dice.choice((*_TALK, *_RELATIONS, *_READINGS)))
    return Kind.SAY, *((Kind.STOP, *death, Kind.START) if away else death), Kind.SAY


_BACK = 0.7
_AWAY = 0.4
LEARNT: Sequence[Chain] = (
    _names,
    _calls,
    _ban_of_sender,
    _reaction_in_thread,
    _impossible_times,
    _longer_absence,
)
"""What faults that were found otherwise have in them: every life has one of these."""

CHAINS: Sequence[Chain] = (
    _long_absence,
    _mention_in_absence,
    _rejoin,
    _count_of_zero,
    _threads,
    _invite_in_absence,
    _read_in_absence,
    _quiet,
    _rules_in_absence,
    _lost_screen,
    _many_in_absence,
    _killed_in_talk,
    _phone_rings,
    _late_key,
    _burst,
    _brief_call,
    _homeserver_restarts,
)


def draw(seed: int, mode: Mode) -> Life:
    """The same for the same arguments, always."""
    dice = random.Random(seed)
    before, living = list(_before(dice)), _living(dice)
    # Of dice of its own, so that a life which has what it takes to catch a broken daemon keeps it (test_mutants.py).
    others = random.Random(f"{seed} learnt")
    place = others.randrange(len(living) + 1)
    parts = [before, *living[:place], _learnt(others), *living[place:]]
    relays = random.Random(f"{seed} relay")
    if relays.random() < _WITH_RELAY:
        parts.insert(relays.randrange(1, len(parts) + 1), _chain(relays, relays.choice((_relay_leaves, _relay_dies))))
    steps = [step for part in parts for step in part]
    return Life(seed, mode, tuple(steps), tuple(range(len(steps))))


def _before(dice: random.Random) -> Iterator[Step]:
    """What is unread when the daemon is started for the first time."""
    if dice.random() < _BEFORE:
        for _ in range(dice.randint(1, 5)):
            yield _step(dice, dice.choice(_BEFORE_KINDS), dice.randrange(ROOMS))
    yield _step(dice, Kind.START, 0)


def _learnt(dice: random.Random) -> list[Step]:
    return _chain(dice, dice.choice(LEARNT))


def _chain(dice: random.Random, chain: Chain) -> list[Step]:
    room, account = dice.randrange(ROOMS), _account(dice)
    return [_step(dice, kind, room, account) for kind in chain(dice)]


def _living(dice: random.Random) -> Sequence[Sequence[Step]]:
    """What happens from then on, in parts that stay together."""
    parts = [_chain(dice, chain) for chain in dice.sample(CHAINS, 2)]
    kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    single = max(8, LENGTH - sum(map(len, parts)))
    parts += [[_step(dice, kind, dice.randrange(ROOMS))] for kind in dice.choices(kinds, weights, k=single)]
    dice.shuffle(parts)
    if dice.random() < _SECOND_ACCOUNT:
        parts.insert(dice.randrange(3), [_step(dice, Kind.SECOND_ACCOUNT, 0)])
    return parts


def _step(dice: random.Random, kind: Kind, room: int, account: int | None = None) -> Step:
    return Step(kind, room, dice.randrange(2), dice.random(), _account(dice) if account is None else account)


def _account(dice: random.Random) -> int:
    return int(dice.random() < 0.2)
