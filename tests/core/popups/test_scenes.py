"""The scenes of `heliograph test --walk`."""

from __future__ import annotations

from heliograph.core.notification import Category, Notification, Urgency
from heliograph.core.popups.profile import SAFE
from heliograph.core.popups.scenes import Cue, Scene, walk_scenes
from heliograph.core.text.messages import TEXT_LIMIT

SCENES = {scene.name: scene for scene in walk_scenes(SAFE.layout)}


def notification(name: str) -> Notification:
    shown = SCENES[name].notification
    assert shown is not None
    return shown


def test_there_is_a_scene_of_each_kind_and_none_has_the_name_of_another() -> None:
    assert len(SCENES) == len(walk_scenes(SAFE.layout))
    shown = [scene.notification for scene in SCENES.values() if scene.notification is not None]
    assert {each.category for each in shown} == {*Category}
    assert {scene.cue for scene in SCENES.values()} == {*Cue}
    assert all(scene.expected for scene in SCENES.values())


def test_only_what_shows_or_changes_has_a_notification() -> None:
    def has_one(scene: Scene) -> bool:
        return scene.notification is not None

    assert all(has_one(scene) is (scene.cue in (Cue.SHOW, Cue.CHANGE)) for scene in SCENES.values())


def test_changes_are_silent_and_news_in_a_room_is_not() -> None:
    for name in ("edit", "its key came", "missed call"):
        assert notification(name).is_update
        assert notification(name).sound is None
    assert not notification("mention after it").is_update
    assert notification("mention after it").sound == "default"
    assert notification("group message").sound is None


def test_the_notifications_are_as_real_ones() -> None:
    assert notification("call").urgency is Urgency.CRITICAL
    assert "lunch" not in notification("message while the screen is locked").body
    assert [action.label for action in notification("invite").actions] == ["Accept", "Decline"]
    assert notification("summary").summary == "6 new messages in 6 rooms"
    assert len(notification("long message").body) <= TEXT_LIMIT
    assert notification("long message").body.endswith(". …")
    assert notification("code").body == "if hungry:\n    eat()"
