"""The commands on the page Deployment, unchanged except for loopback: TLS, and a key for each node."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import free_port
from processes import family, kill

pytestmark = pytest.mark.e2e

Waits = Callable[..., None]

SCRIPTS = Path(sysconfig.get_path("scripts"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Page:
    """The page's commands, run in a folder with a separate Flower home."""

    def __init__(self, text: str, folder: Path) -> None:
        port = free_port()
        replaced = {
            "DNS:superlink.example.org": "DNS:localhost",
            "superlink.example.org:8000": f"localhost:{port}",
            "--host 0.0.0.0": f"--host 127.0.0.1 --port {port}",
            "/absolute/path/of": str(folder),
        }
        for here, there in replaced.items():
            assert here in text
            text = text.replace(here, there)
        self.blocks = [(found[1], found[2].replace("\\\n", " ")) for found in BLOCK.finditer(text)]
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "FLWR_HOME": str(folder / "home"),
            "PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]]),
        }

    def command(self, beginning: str) -> str:
        """Return the first command with this beginning."""
        lines = [line for language, block in self.blocks if language == "bash" for line in block.splitlines()]
        return next(line for line in lines if line.startswith(beginning))

    def toml(self) -> str:
        """Return Flower's config."""
        return next(block for language, block in self.blocks if language == "toml")

    def run(self, command: str) -> str:
        """Run a command, and return its output."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a command in the background."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                shlex.split(command),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def stop(self) -> None:
        kill(family(process.pid for process in self.started))
        for process in self.started:
            process.wait()


@pytest.fixture
def page(repository: Path, tmp_path: Path) -> Iterator[Page]:
    read = Page((repository / "docs" / "deployment.md").read_text("utf-8"), tmp_path)
    yield read
    read.stop()


def test_a_node_with_a_registered_key_connects_over_tls_and_one_without_is_refused(
    page: Page, tmp_path: Path, wait_until: Waits
) -> None:
    for beginning in ("openssl req -x509", "openssl req -newkey", "echo", "openssl x509", "ssh-keygen"):
        page.run(page.command(beginning))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(page.toml())
    page.start(page.command("flower-superlink"), tmp_path / "superlink.log")
    started = tmp_path / "superlink.log"
    wait_until(lambda: "Uvicorn running" in started.read_text(), "the SuperLink runs")

    def supernode(name: str) -> subprocess.Popen[bytes]:
        command = page.command("flower-supernode").replace("hospital-0", name)
        return page.start(f"{command} --port {free_port()}", tmp_path / f"{name}.log")

    page.run(page.command("ssh-keygen").replace("hospital-0", "stranger"))
    stranger = supernode("stranger")
    assert stranger.wait(120) != 0
    assert "Exit Code: 305" in (tmp_path / "stranger.log").read_text()

    page.run(page.command("flwr supernode register"))
    supernode("hospital-0")

    def online() -> list[str]:
        listed = json.loads(page.run(f"{page.command('flwr supernode list')} --format json"))
        return [node["node-id"] for node in listed["nodes"] if node["status"] == "online"]

    wait_until(online, "the hospital is connected")
    assert "insecure" not in page.run("cat *.log")
