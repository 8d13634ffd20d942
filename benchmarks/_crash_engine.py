"""What `crash` runs its labs on: a Docker engine of its own, and an image of a few kilobytes.

All of it lives in the namespaces that `benchmarks.crash` made, so nothing of it can touch another
engine, and with the first process there everything ends.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from pathlib import Path

import docker
import requests

from tests.docker import tiny_image

SERVER = r"""
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {  /* answers every request, as far as a Hub asks: "there is a server" */
    static const char *said = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "X-JupyterHub-Version: 6.1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(8888)};
    char request[65536];
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&where, sizeof where) || listen(listener, 64)) return 1;
    for (;;) {
        int client = accept(listener, 0, 0);
        if (client < 0) continue;
        if (read(client, request, sizeof request) > 0 && write(client, said, strlen(said)) < 0) {}
        shutdown(client, SHUT_WR);
        close(client);
    }
}
"""


class Engine:
    """A Docker engine that can be killed. Its containers outlive it, as with `live-restore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "none.json").write_text("{}")

    @property
    def url(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self._folder}/docker.sock"

    def start(self) -> None:
        """Start it; does not wait until it answers."""
        folder = self._folder
        (folder / "pid").unlink(missing_ok=True)
        with (folder / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("dockerd", "--host", self.url, "--data-root", f"{folder}/data"),
                    *("--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
                    *("--bridge", "none", "--cgroup-parent", f"/{folder.name}"),
                    *("--live-restore", "--config-file", f"{folder}/none.json"),
                ],
                stdout=log,
                stderr=log,
            )

    def wait(self, seconds: float = 90) -> docker.DockerClient:
        """A client, once it answers."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                client = docker.DockerClient(base_url=self.url, timeout=60)
                client.ping()
                return client
            except (docker.errors.DockerException, requests.RequestException, OSError):
                if time.monotonic() > deadline:
                    said = (self._folder / "engine.log").read_text(errors="replace")[-4000:]
                    raise RuntimeError(f"the engine does not answer:\n{said}") from None
            time.sleep(0.1)

    def kill(self) -> None:
        """As a crash: SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Orderly."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)


def load_image(client: docker.DockerClient, folder: Path, tag: str) -> None:
    """Import the image: a shell, `timeout` and the little server."""
    source, program = folder / "server.c", folder / "lab"
    source.write_text(SERVER)
    subprocess.run(["gcc", "-O1", "-static", "-o", str(program), str(source)], check=True)
    data = program.read_bytes()
    buffer = io.BytesIO(tiny_image.rootfs())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        entry = tarfile.TarInfo("bin/lab")
        entry.size, entry.mode = len(data), 0o755
        tar.addfile(entry, io.BytesIO(data))
    repository, _, name = tag.rpartition(":")
    client.api.import_image_from_data(
        buffer.getvalue(),
        repository=repository,
        tag=name,
        changes=["ENV PATH=/bin", 'CMD ["/bin/lab"]'],
    )
