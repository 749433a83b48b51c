"""Debian's nginx and Caddy, each with a recipe of docs/relay.md as it stands there, on ports of this machine.

The test's own are only the ports, and http in place of https: clients of the tests know no certificate.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.ports import reserve_port
from support.waiting import until

_SBIN = "/usr/sbin:/sbin"
_TLS = re.compile(r"^ *(ssl_certificate|ssl_certificate_key) .*\n", re.MULTILINE)


class ReverseProxy:
    """An async context manager; `url` is the public address. `recipe` is the configuration of `program`.

    `ports` are put in place of the ports of the recipe.
    """

    def __init__(self, program: str, recipe: str, ports: Mapping[int, int], folder: Path) -> None:
        self._program = program
        self._port = reserve_port(self)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = ports
        self._recipe = recipe

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> ReverseProxy:
        self._folder.mkdir()
        log = self._folder / "log"
        self._process = self._spawn(log)

        async def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, log.read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                return False
            writer.close()
            return True

        await until(answers, f"an answer of {self._program}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, 20)

    async def reload(self, recipe: str) -> None:
        """As `systemctl reload` does after the configuration was changed; nginx alone. Returns when the processes of
        before have ended, which go on with requests that wait."""
        assert self._process is not None
        assert self._program == "nginx"
        self._recipe = recipe
        await asyncio.to_thread(self._nginx)
        before = _children(self._process.pid)
        self._process.send_signal(signal.SIGHUP)
        pid = self._process.pid
        await until(lambda: not before & _children(pid), "the end of nginx's former processes")

    @property
    def _here(self) -> str:
        """The recipe with the ports of this machine."""
        return re.sub(
            r"(127\.0\.0\.1):(\d+)",
            lambda found: f"{found[1]}:{self._ports.get(int(found[2]), found[2])}",
            self._recipe,
        )

    def _spawn(self, log: Path) -> subprocess.Popen[bytes]:
        command = self._nginx() if self._program == "nginx" else self._caddy()
        folders = {"XDG_DATA_HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder)}
        with log.open("wb") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **folders}
            )

    def _nginx(self) -> Sequence[str]:
        served = _TLS.sub("", self._here).replace("listen 443 ssl;", f"listen 127.0.0.1:{self._port};")
        paths = "".join(f"{kind}_temp_path {self._folder}/{kind};\n" for kind in ("fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        configuration = self._folder / "nginx.conf"
        configuration.write_text(
            f"{user}daemon off;\npid {self._folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n"
            f"client_body_temp_path {self._folder}/body;\nproxy_temp_path {self._folder}/proxy;\n{paths}{served}}}\n"
        )
        return [_find("nginx"), "-p", str(self._folder), "-e", "stderr", "-c", str(configuration)]

    def _caddy(self) -> Sequence[str]:
        served = self._here.replace("matrix.example.org {", f"http://127.0.0.1:{self._port} {{")
        configuration = self._folder / "Caddyfile"
        configuration.write_text(f"{{\n    admin off\n    auto_https off\n}}\n{served}")
        return [_find("caddy"), "run", "--config", str(configuration), "--adapter", "caddyfile"]


def _children(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _find(name: str) -> str:
    program = shutil.which(name, path=f"{os.environ['PATH']}:{_SBIN}")
    assert program is not None, f"{name} is not installed; tests/run installs it"
    return program
