"""What a tree is lent of this machine, so that its programs reach the same package registries in the same way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/xdg/pip", "/etc/npmrc", "/usr/etc/npmrc")
_CERTIFICATES = "/usr/local/share/ca-certificates"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_VARIABLES = re.compile(
    r"(?i:(https?|all|no)_proxy)|PIP_(INDEX_URL|EXTRA_INDEX_URL|DEFAULT_TIMEOUT)|npm_config_registry"
)
_APT = re.compile(r"Acquire::(http|https|Proxy|Retries|Check-|ForceIPv)")


def lend_files(tree: Path) -> None:
    """Copies how names are resolved and registries reached, and the certificates that are trusted besides."""
    for name in (*_FILES, _CERTIFICATES):
        if Path(name).is_dir():
            shutil.copytree(name, tree / name[1:], dirs_exist_ok=True)
        elif Path(name).exists():
            (tree / name[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, tree / name[1:])


def lend_environment() -> dict[str, str]:
    """Of registries and proxies; node has a list of certificates of its own, and is pointed to the system's."""
    lent = {name: value for name, value in os.environ.items() if _VARIABLES.fullmatch(name)}
    return {**lent, "NODE_EXTRA_CA_CERTS": _BUNDLE}


def find_mirror() -> str | None:
    """Where this machine has Debian's packages from. None: it is no Debian, and mmdebstrap may know better."""
    words = ("--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Identifier: Packages")
    told = subprocess.run(["apt-get", "indextargets", *words], capture_output=True, text=True, check=False).stdout
    found = [line.split() for line in told.splitlines()]
    return next((uri for uri, *names in found if names == ["Debian", "Debian"]), None)


def apt_options() -> list[str]:
    """How this machine's apt reaches them, as lines of apt.conf(5)."""
    told = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False).stdout
    return [line for line in told.splitlines() if _APT.match(line)]
