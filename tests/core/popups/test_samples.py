from __future__ import annotations

from heliograph.core.notification import Category, Urgency
from heliograph.core.popups.capabilities import word_capabilities
from heliograph.core.popups.profile import SAFE
from heliograph.core.popups.samples import sample_notifications


def test_there_is_one_of_each_kind() -> None:
    samples = dict(sample_notifications(SAFE.layout))
    assert {notification.category for notification in samples.values()} == set(Category)
    assert {notification.urgency for notification in samples.values()} == {Urgency.NORMAL, Urgency.CRITICAL}
    direct = samples["a message to you alone, with a picture"]
    assert direct.summary == "Alice"
    assert direct.picture is not None
    assert len(direct.picture.pixels) == 4 * direct.picture.width * direct.picture.height
    threaded = samples["a message in a thread, with emphasis"]
    assert "When?" in threaded.summary
    assert "<b>noon</b>" in threaded.markup
    assert samples["several messages in a room"].summary == "Lunch (3 new)"
    assert samples["news from many rooms at once"].summary == "6 new messages in 6 rooms"
    assert samples["a mention"].sound == "default"
    assert len({(notification.summary, notification.body) for notification in samples.values()}) == len(samples)


def test_what_a_server_can_and_cannot_do_is_told() -> None:
    words = word_capabilities({"body", "actions", "x-vendor"})
    assert (True, "takes clicks and offers buttons") in words
    assert (False, "cannot take an answer in the notification") in words
    assert sum(can for can, _ in words) == 2
    assert len(word_capabilities(())) == len(words)
