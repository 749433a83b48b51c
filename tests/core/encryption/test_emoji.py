from __future__ import annotations

from heliograph.core.encryption.emoji import EMOJI, in_words


def test_there_are_64_different_emoji() -> None:
    assert len({each.picture for each in EMOJI}) == len({each.name for each in EMOJI}) == 64
    assert [EMOJI[index].name for index in (0, 21, 36, 41, 63)] == ["Dog", "Cloud", "Thumbs Up", "Light Bulb", "Pin"]


def test_they_are_written_with_their_names() -> None:
    assert in_words([EMOJI[0], EMOJI[63]]) == "🐶 Dog, 📌 Pin"
