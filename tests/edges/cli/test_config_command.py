from __future__ import annotations

import asyncio

from conftest import Home
from edges.cli.conftest import Shell
from heliograph.accounts import Account, list_accounts, save_account, state_folder
from heliograph.app.configured_names import with_named_rooms
from heliograph.config.reading import parse_config
from heliograph.config.settings import Config
from heliograph.core.popups.privacy import Level
from heliograph.core.record import Plan, RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.store.ledger import SqliteLedger
from support.builders import ME, make_facts


def test_without_a_file_the_defaults_are_shown(shell: Shell) -> None:
    result = shell.run("config")
    assert result.exit_code == 0
    assert parse_config(result.stdout) == Config()


def test_the_file_is_what_is_shown(shell: Shell, home: Home) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text("[sync]\npoll_seconds = 20\n")
    assert "\npoll_seconds = 20\n" in shell.run("config").stdout


async def fill_ledger(*rooms: RoomFacts) -> None:
    save_account(Account(user_id=ME, device_id="D", homeserver="https://example.org", secrets="file", pushkey="k"))
    ledger = await SqliteLedger.open(state_folder(ME))
    await ledger.commit(Plan("s2", rooms=tuple(map(RoomRecord, rooms))), 1)
    await ledger.close()


def test_the_rooms_that_names_stand_for_are_shown(shell: Shell, home: Home) -> None:
    (home.config / "heliograph").mkdir()
    text = '[quiet]\nrooms = ["Family", "Nobody", "!other:x", "Twice"]\n[privacy]\nhidden = ["Family"]\n'
    (home.config / "heliograph/config.toml").write_text(text)
    twins = (make_facts("!one:x", name="Twice"), make_facts("!two:x", name="Twice"))
    asyncio.run(fill_ledger(make_facts("!family:x", name="Family"), *twins))
    shown = shell.run("config").stdout
    assert shown.count(f'# "Family" is !family:x of {ME}.\n') == 2
    assert '# "Nobody": no room' in shown
    assert '# "Twice": no room' in shown
    assert parse_config(shown) == parse_config(text)


def test_a_name_in_the_configuration_stands_for_the_room_that_has_it_at_the_start(home: Home) -> None:
    asyncio.run(fill_ledger(make_facts("!family:x", name="Family")))
    config = parse_config('[quiet]\nrooms = ["Family", "Nobody"]\n[privacy]\nfull = ["Family"]\n')
    named = asyncio.run(with_named_rooms(config, list_accounts()))
    assert "!family:x" in named.quiet.through.ids
    assert named.privacy.full == ("Family", "!family:x")


def test_a_room_that_takes_a_configured_name_later_is_hidden_by_it_and_granted_nothing(home: Home) -> None:
    asyncio.run(fill_ledger(make_facts("!family:x", name="Family")))
    text = '[quiet]\nrooms = ["Family"]\n[privacy]\nshow = "sender"\nfull = ["Family"]\nhidden = ["Work"]\n'
    named = asyncio.run(with_named_rooms(parse_config(text), list_accounts()))
    later, privacy = {"!later:x", "@stranger:x"}, named.privacy.privacy
    assert later.isdisjoint(named.quiet.through.ids)
    assert privacy.level(later, "Family") is Level.SENDER
    assert privacy.level(later, "Work") is Level.HIDDEN
    assert privacy.level({"!family:x"}, "Renamed") is Level.FULL


def test_an_account_that_never_ran_names_no_room(home: Home) -> None:
    account = Account(user_id=ME, device_id="D", homeserver="https://example.org", secrets="file", pushkey="k")
    config = parse_config('[quiet]\nrooms = ["Family"]\n')
    assert asyncio.run(with_named_rooms(config, [account])) == config
    state_folder(ME).mkdir(parents=True)
    (state_folder(ME) / "ledger.db").write_bytes(b"x" * 5000)
    assert asyncio.run(with_named_rooms(config, [account])) == config


def test_the_path_is_told_whether_the_file_exists_or_not(shell: Shell, home: Home) -> None:
    assert shell.run("config", "--path").stdout == f"{home.config}/heliograph/config.toml\n"


def test_a_broken_file_is_two_lines(shell: Shell, home: Home) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text("[sync\n")
    result = shell.run("config")
    assert result.exit_code == 78
    assert len(result.stderr.splitlines()) == 2
