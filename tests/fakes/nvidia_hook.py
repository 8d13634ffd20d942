"""The NVIDIA container hook's part, played without a GPU: called by runc as `… prestart`.

An engine offers GPUs when an executable named `nvidia-container-runtime-hook` is on its PATH as it
starts. It then adds the hook to containers with a device request, the ids of the devices in their
NVIDIA_VISIBLE_DEVICES. Like NVIDIA's own, this one refuses a device that the machine lacks, in the
same words; unlike it, it only notes what it was asked for.

`devices` (one id a line) and `calls` (one JSON object a line) lie beside the executable.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

NAME = "nvidia-container-runtime-hook"


def install(folder: Path, devices: list[str]) -> Path:
    """Put the hook into `folder`, on a machine that has `devices`; the executable's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "devices").write_text("".join(f"{device}\n" for device in devices))
    (folder / "calls").touch()
    program = folder / NAME
    program.write_text(f"#!{sys.executable} -IS\n" + Path(__file__).read_text())
    program.chmod(0o755)
    return program


def calls(folder: Path) -> dict[str, str]:
    """Container id -> NVIDIA_VISIBLE_DEVICES, of every call so far."""
    lines = (folder / "calls").read_text().splitlines()
    return {call["container"]: call["devices"] for call in map(json.loads, lines)}


def main() -> int:
    """Exit status 1 with a reason on standard error: the container does not start."""
    if sys.argv[1:] != ["prestart"]:
        return 0
    folder = Path(sys.argv[0]).parent
    state = json.load(sys.stdin)
    config = json.loads((Path(state["bundle"]) / "config.json").read_text())
    environment = dict(item.partition("=")[::2] for item in config["process"]["env"])
    asked = environment.get("NVIDIA_VISIBLE_DEVICES", "")
    with (folder / "calls").open("a") as file:
        file.write(json.dumps({"container": state["id"], "devices": asked}) + "\n")
    known = (folder / "devices").read_text().split()
    for device in asked.split(","):
        if device not in known:
            print(f"nvidia-container-cli: device error: {device}: unknown device", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
