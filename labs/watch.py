"""What the agent holds containers to: decisions apart from Docker, the network and the clock.

All times are milliseconds of held time (labs.held) or of the boot clock (core.clock.boot_ms).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from core.wire import LeaseOrder, SeenContainer, from_json

HANDOVER_MS = 10_000
"""For so long an ended lab counts as running in reports. When the Hub stopped it, the Hub knows the
exact held time and the reason and says so first; the agent's word is for ends that nobody saw."""

UNSEEN_MS = 1_000
"""For so long a lab counts as held without having been looked at. Looks are five a second."""


class Deed(Enum):
    """What to do with a running container now."""

    LEAVE = "leave"
    ASK = "ask"
    """Ask PID 1 to end (SIGTERM): its time is over."""
    KILL = "kill"


@dataclass(frozen=True)
class Watched:
    """A running GPU lab, or one that ended and is not reported yet.

    `grant_ms` is the grant it was started with. `lease_id` empty: it holds a GPU without a lease.
    """

    container_id: str
    lease_id: str
    pid: int
    started_ms: int
    grant_ms: int
    held_ms: int = 0
    running: bool = True
    over_since_ms: int | None = None
    """When (boot clock) its lease was first seen to be over by order, not by time."""
    gone_since_ms: int | None = None
    """When (boot clock) its process was first seen to be gone."""
    devices: list[str] = field(default_factory=list)
    """UUIDs of the GPUs or slices it was given; empty: none, or simulated ones."""

    def at(self, now_ms: int) -> Watched:
        """Itself, still running at `now_ms`."""
        return replace(self, held_ms=max(self.held_ms, now_ms - self.started_ms))

    def ended(self, now_ms: int) -> Watched:
        """Itself, found to be gone; its held time stays what was last seen."""
        return replace(self, running=False, gone_since_ms=now_ms)

    def ended_just_now(self, now_ms: int) -> Watched:
        """Itself, whose end the kernel tells at this moment: held until now.

        Not when the agent itself stood still in between: the time it did not see is free.
        """
        fresh = now_ms - (self.started_ms + self.held_ms) <= UNSEEN_MS
        return (self.at(now_ms) if fresh else self).ended(now_ms)

    def reported_running(self, now_ms: int) -> bool:
        """False once its end is to be reported. See HANDOVER_MS."""
        return self.running or now_ms - (self.gone_since_ms or 0) < HANDOVER_MS


def deed(lab: Watched, order: LeaseOrder | None, now_ms: int, grace_ms: int) -> Deed:
    """What to do with `lab` under the last known `order`; None: only its first grant is known."""
    if not lab.running:
        return Deed.LEAVE
    if not lab.lease_id:
        return Deed.KILL
    if order is not None and order.stop:
        since = lab.over_since_ms if lab.over_since_ms is not None else now_ms
        return Deed.KILL if now_ms - since >= grace_ms else Deed.ASK
    grant = lab.grant_ms if order is None else order.grant_ms
    if lab.held_ms >= grant + grace_ms:
        return Deed.KILL
    return Deed.ASK if lab.held_ms >= grant else Deed.LEAVE


def next_deed_ms(lab: Watched, order: LeaseOrder | None, now_ms: int, grace_ms: int) -> int | None:
    """Milliseconds until `deed` may say something else because time has passed; None: never."""
    if not lab.running or not lab.lease_id:
        return None
    if order is not None and order.stop:
        since = lab.over_since_ms if lab.over_since_ms is not None else now_ms
        left = [since + grace_ms - now_ms]
    else:
        grant = lab.grant_ms if order is None else order.grant_ms
        held = max(lab.held_ms, now_ms - lab.started_ms)
        left = [grant - held, grant + grace_ms - held]
    return min((ms for ms in left if ms > 0), default=None)


def report(
    labs: list[Watched], now_ms: int, quiet_ms: Callable[[str, int], int | None] = lambda *_: None
) -> list[SeenContainer]:
    """Labs with a lease, as the usage service is told of them. `quiet_ms`: see GpuWatch."""
    return [
        SeenContainer(
            lab.container_id,
            lab.lease_id,
            lab.held_ms,
            lab.reported_running(now_ms),
            quiet_ms(lab.container_id, now_ms),
        )
        for lab in labs
        if lab.lease_id
    ]


@dataclass(frozen=True)
class Memory:
    """What the agent must know again after its own restart, also while `usage` is away."""

    boot_id: str
    orders: dict[str, LeaseOrder]
    labs: dict[str, Watched]

    def save(self, file: Path) -> None:
        """Replace `file` whole, so that a crash leaves the old or the new one."""
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".new")
        draft.write_text(
            json.dumps(
                {
                    "boot_id": self.boot_id,
                    "orders": [asdict(order) for order in self.orders.values()],
                    "labs": [asdict(lab) for lab in self.labs.values()],
                }
            )
        )
        draft.replace(file)

    @staticmethod
    def load(file: Path, boot_id: str, now_ms: int) -> Memory:
        """From `file`; an empty memory when there is none or it cannot be read.

        Labs of an earlier boot are not running any more, whatever was running then.
        """
        try:
            data: dict[str, Any] = json.loads(file.read_text())
            orders = [from_json(LeaseOrder, item) for item in data["orders"]]
            labs = [from_json(Watched, item) for item in data["labs"]]
            same_boot = data["boot_id"] == boot_id
        except (OSError, ValueError, KeyError, TypeError):
            return Memory(boot_id, {}, {})
        return Memory(
            boot_id,
            {order.lease_id: order for order in orders},
            {lab.container_id: lab if same_boot else lab.ended(now_ms) for lab in labs},
        )
