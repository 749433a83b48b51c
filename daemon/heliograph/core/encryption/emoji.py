"""The emoji that two devices show for comparison.

https://spec.matrix.org/v1.18/client-server-api/#sas-method-emoji
"""

from __future__ import annotations

from collections.abc import Sequence

from heliograph.core.value_type import value_type


@value_type
class Emoji:
    """One of the 64 emoji of the specification."""

    picture: str
    name: str


_TABLE = """
🐶 Dog|🐱 Cat|🦁 Lion|🐎 Horse|🦄 Unicorn|🐷 Pig|🐘 Elephant|🐰 Rabbit
🐼 Panda|🐓 Rooster|🐧 Penguin|🐢 Turtle|🐟 Fish|🐙 Octopus|🦋 Butterfly|🌷 Flower
🌳 Tree|🌵 Cactus|🍄 Mushroom|🌏 Globe|🌙 Moon|☁️ Cloud|🔥 Fire|🍌 Banana
🍎 Apple|🍓 Strawberry|🌽 Corn|🍕 Pizza|🎂 Cake|❤️ Heart|😀 Smiley|🤖 Robot
🎩 Hat|👓 Glasses|🔧 Spanner|🎅 Santa|👍 Thumbs Up|☂️ Umbrella|⌛ Hourglass|⏰ Clock
🎁 Gift|💡 Light Bulb|📕 Book|✏️ Pencil|📎 Paperclip|✂️ Scissors|🔒 Lock|🔑 Key
🔨 Hammer|☎️ Telephone|🏁 Flag|🚂 Train|🚲 Bicycle|✈️ Aeroplane|🚀 Rocket|🏆 Trophy
⚽ Ball|🎸 Guitar|🎺 Trumpet|🔔 Bell|⚓ Anchor|🎧 Headphones|📁 Folder|📌 Pin
"""

EMOJI = tuple(Emoji(*cell.split(" ", 1)) for line in _TABLE.split("\n") if line for cell in line.split("|"))
"""The emoji by index, in the specification's order, so that both devices show the same."""


def in_words(emoji: Sequence[Emoji]) -> str:
    """The emoji in one line, each with its name: pictures differ between fonts."""
    return ", ".join(f"{each.picture} {each.name}" for each in emoji)
