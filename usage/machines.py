"""The GPUs that hosts reported, and which of them an admin keeps labs off.

A slot is ``open``, ``drained`` (no new lab; running ones go on as long as they may) or ``disabled``
(no new lab, and running ones are warned and end with the grant they have, so within
usage.grant_seconds). A slot that its host no longer has takes no new lab either; the lease that
holds it goes on until its lab ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import lru_cache

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from core.units import WHOLE
from core.wire import Slot, SlotMode, from_json
from store.columns import flag
from usage.models import LeaseRow, LeaseSlot, SlotRow
from usage.refusals import No

MOST_MEMORY_MB = 10**9
MOST_WEIGHT = 100 * WHOLE  # a model may count for more than one GPU (gpus.factors)

MODES: tuple[SlotMode, ...] = ("open", "drained", "disabled")
GPU_OFF = "gpu_off"
"""Why a lab on a disabled slot stops."""

SLOT_COLUMNS = [getattr(SlotRow, field.name) for field in fields(Slot)]
"""The columns of a slot in the order of the wire shape. Read as columns, not as objects: every
start reads all slots."""

slot_of_columns = lru_cache(4096)(Slot)

_CLOSED = or_(SlotRow.drained, SlotRow.disabled)
_WITH_HOLDERS = (  # made once: every start asks it
    select(*SLOT_COLUMNS, _CLOSED, SlotRow.present, LeaseSlot.id)
    .outerjoin(LeaseSlot, and_(LeaseSlot.slot_id == SlotRow.id, flag(LeaseSlot.open)))
    .where(or_(SlotRow.present, LeaseSlot.id.is_not(None)))
)


def as_slot(row: SlotRow) -> Slot:
    """The wire shape of a slot."""
    return from_json(Slot, {k: v for k, v in vars(row).items() if not k.startswith("_")})


def mode_of(row: SlotRow) -> SlotMode:
    """What an admin said of it."""
    return "disabled" if row.disabled else "drained" if row.drained else "open"


def inventory(session: Session) -> tuple[list[Slot], frozenset[str]]:
    """The slots that hosts have now, and the ids of those that take no new lab."""
    rows = session.execute(select(*SLOT_COLUMNS, _CLOSED).where(SlotRow.present)).all()
    return [slot_of_columns(*row[:-1]) for row in rows], frozenset(r[0] for r in rows if r[-1])


def inventory_and_held(
    session: Session,
) -> tuple[list[Slot], frozenset[str], list[Slot]]:
    """`inventory`, and the slots of open leases, of ones that hosts no longer have too."""
    rows = session.execute(_WITH_HOLDERS).all()
    slots = [(slot_of_columns(*row[:-3]), *row[-3:]) for row in rows]
    return (
        [slot for slot, _, present, _ in slots if present],
        frozenset(slot.id for slot, closed, _, _ in slots if closed),
        [slot for slot, _, _, lease in slots if lease is not None],
    )


def put_inventory(session: Session, host: str, slots: Sequence[Slot]) -> None:
    """Make `slots` the slots of `host`. Open leases keep what they hold until they end."""
    _check(host, slots)
    rows = {r.id: r for r in session.scalars(select(SlotRow).where(SlotRow.host == host)).all()}
    for row in rows.values():
        row.present = False
    for slot in slots:
        known = rows.get(slot.id) or session.get(SlotRow, slot.id)
        if known is None:
            session.add(SlotRow(**asdict(slot), present=True, drained=False, disabled=False))
            continue
        for key, value in asdict(slot).items():
            setattr(known, key, value)
        known.present = True
    session.flush()


def _check(host: str, slots: Sequence[Slot]) -> None:
    ids = [slot.id for slot in slots]
    for slot in slots:
        if slot.host != host:
            raise No("slot_host", slot=slot.id, host=host)
        sizes = 0 < slot.weight <= MOST_WEIGHT and 0 <= slot.memory_mb <= MOST_MEMORY_MB
        if not sizes or ids.count(slot.id) > 1:
            raise No("slot_bad", slot=slot.id)


def set_mode(session: Session, device: str, mode: SlotMode) -> list[str]:
    """Put a slot, or every slot of a GPU, into `mode`; the ids. `device`: id of either.

    Again is harmless. Raises No when no host ever reported it, or for a mode there is not.
    """
    if mode not in MODES:
        raise No("slot_mode", mode=mode, known=", ".join(MODES))
    rows = session.scalars(
        select(SlotRow).where(or_(SlotRow.id == device, SlotRow.gpu == device))
    ).all()
    if not rows:
        raise No("gpu_unknown", gpu=device)
    for row in rows:
        row.drained, row.disabled = mode != "open", mode == "disabled"
    session.flush()
    _close_leases(session)
    return [row.id for row in rows]


def _close_leases(session: Session) -> None:
    """Leases on disabled slots get no more time; those whose slots are in use again do."""
    off = (
        select(LeaseSlot.lease_id)
        .join(SlotRow, SlotRow.id == LeaseSlot.slot_id)
        .where(flag(LeaseSlot.open), SlotRow.disabled)
    )
    for where, closing in (
        (LeaseRow.id.in_(off) & (LeaseRow.closing == ""), GPU_OFF),
        (LeaseRow.id.not_in(off) & (LeaseRow.closing == GPU_OFF), ""),
    ):
        session.execute(
            update(LeaseRow)
            .where(where, LeaseRow.state != "ended")
            .values(closing=closing)
            .execution_options(synchronize_session="fetch")
        )
