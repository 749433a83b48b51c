"""The Debian packages of the desktops, and of what plays on them and looks at them."""

from __future__ import annotations

RELEASES = ("trixie", "bookworm")

_MACHINE = (
    *("systemd", "systemd-sysv", "libpam-systemd", "dbus", "dbus-user-session", "dbus-x11", "polkitd", "upower"),
    *("procps", "util-linux", "python3-venv", "libglib2.0-bin", "xdg-utils", "libnotify-bin", "desktop-file-utils"),
)
_EYES_AND_HANDS = (
    *("xvfb", "xdotool", "x11-utils", "imagemagick", "grim", "wtype", "tesseract-ocr", "xwayland"),
    *("fonts-dejavu-core", "fonts-noto-color-emoji", "pulseaudio", "pulseaudio-utils", "sound-theme-freedesktop"),
)
_DESKTOPS = (
    *("gnome-shell", "gnome-control-center", "gnome-settings-daemon", "gnome-session-bin", "adwaita-icon-theme"),
    *("gnome-session-canberra", "fonts-cantarell", "gnome-shell-extension-appindicator"),
    *("plasma-desktop", "plasma-workspace", "kwin-x11", "systemsettings", "breeze-icon-theme"),
    *("kde-config-screenlocker", "kde-cli-tools"),
    *("sway", "swaybg", "sway-notification-center", "waybar", "mako-notifier", "dunst"),
    *("cinnamon", "cinnamon-session"),
    *("openbox", "lxqt-notificationd", "lxqt-themes", "qtxdg-tools"),
    *("marco", "mate-notification-daemon", "mate-themes"),
    *("xfwm4", "xfce4-notifyd", "xfconf", "xfce4-panel"),
    "budgie-core",
)
_ONLY = {
    "trixie": ("libcanberra-pulse", "ocean-sound-theme", "util-linux-extra", "xapp-sn-watcher"),
    # GNOME Shell 43 runs it without depending on it.
    "bookworm": ("libcanberra-pulse", "gjs"),
}


def packages(release: str) -> list[str]:
    """All that is installed in a release's tree."""
    return sorted({*_MACHINE, *_EYES_AND_HANDS, *_DESKTOPS, *_ONLY[release]})
