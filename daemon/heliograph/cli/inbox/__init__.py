"""`heliograph inbox`."""

from __future__ import annotations

import asyncio
import json

import click

from heliograph.cli.inbox.room_number import RoomNumber
from heliograph.cli.input.group import Group


@click.group("inbox", cls=Group, invoke_without_command=True, short_help="List, open, read and answer what is unread.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.option("--messages", "-m", "all_messages", is_flag=True, help="Every message, not only the newest of each room.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, all_messages: bool) -> None:
    """List what rang and was not read, opened or deleted since, by room; the newest first.

    A room keeps its number as long as something is in the inbox, and answers to its name as well. "@" marks what
    highlights.

    \b
    Examples:
      heliograph inbox
      heliograph inbox open 2
      heliograph inbox --json | jq '.unread'
    """
    if ctx.invoked_subcommand is not None:
        return
    from heliograph.cli.inbox.rooms import load_inbox
    from heliograph.cli.inbox.table import show_inbox
    from heliograph.core.text.clean import clean_line

    listing = asyncio.run(load_inbox())
    if as_json:
        click.echo(json.dumps(listing.inbox, indent=2))
    else:
        click.echo("\n".join(show_inbox(listing.rooms, all_messages=all_messages)))
    for problem in listing.problems:
        click.echo(clean_line(problem, 500), err=True)


@command.command("open")
@click.argument("room", required=False, type=RoomNumber(), metavar="[ROOM]")
def open_(room: str | None) -> None:
    """Open a room in your Matrix client, at its newest message: by its number, name or id. It counts as read then.

    Without one: the room with the newest highlight, or else the newest message.

    \b
    Example:
      heliograph inbox open 2
    """
    _act("Open", room, sentence="Opened {}")


@command.command("read")
@click.argument("room", required=False, type=RoomNumber(), metavar="[ROOM]")
@click.option("--all", "all_rooms", is_flag=True, help="Every room of all accounts, but for invites.")
def read(room: str | None, all_rooms: bool) -> None:
    """Mark a room as read, for all your clients: by its number, name or id.

    \b
    Examples:
      heliograph inbox read 2
      heliograph inbox read Lunch
      heliograph inbox read --all
    """
    if all_rooms == (room is not None):
        raise click.UsageError("Name one room, or say --all.")
    if room is None:
        _read_all()
        return
    _act("MarkRead", room, sentence="Read: {}")


@command.command("reply")
@click.argument("room", type=RoomNumber(), metavar="ROOM")
@click.argument("text", nargs=-1, required=True)
def reply(room: str, text: tuple[str, ...]) -> None:
    """Send a message into a room: by its number, name or id.

    \b
    Example:
      heliograph inbox reply 2 "I am on my way"
    """
    _act("Reply", room, " ".join(text), sentence="Sent to {}")


@command.command("accept")
@click.argument("room", type=RoomNumber(), metavar="ROOM")
def accept(room: str) -> None:
    """Accept an invite, and join the room: by its number, name or id.

    \b
    Example:
      heliograph inbox accept 3
    """
    _act("Accept", room, sentence="Joined {}")


@command.command("decline")
@click.argument("room", type=RoomNumber(), metavar="ROOM")
def decline(room: str) -> None:
    """Decline an invite: by the room's number, name or id.

    \b
    Example:
      heliograph inbox decline 3
    """
    _act("Decline", room, sentence="Declined the invite to {}")


def _read_all() -> None:
    from heliograph.control.client import ask
    from heliograph.core.text.clean import count_things

    count = asyncio.run(ask("MarkAllRead"))
    click.echo(f"Read: {count_things(count, 'room')}" if count else "Nothing is unread, but perhaps invites.")


def _act(member: str, room: str | None, *body: str, sentence: str) -> None:
    """Has the daemon act on the room, and says so: `sentence` has a place for the room's title."""
    from heliograph.cli.inbox.rooms import act

    click.echo(sentence.format(asyncio.run(act(member, room, *body))))
