"""What staff says to everybody of a cohort: shown in JupyterLab and on the home page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from core.ids import new_id
from usage import audit
from usage.classroom.models import LONGEST_TEXT, Announcement, AnnouncementRead
from usage.leases import Clock
from usage.models import Membership
from usage.refusals import No
from web import formats

PREFIX = "announcement"
"""Ids begin so: a lab closes announcements and warnings by the same address."""

HOURS = (1, 4, 24, 72)
"""How long an announcement may be shown, as offered."""

_LISTED = 20


@dataclass(frozen=True)
class Told:
    """An announcement as its cohort's staff sees it."""

    announcement: Announcement
    live: bool
    readers: int


def say(
    session: Session, cohort: str, text: str, hours: int, author: str, time: Clock
) -> Announcement:
    """Write it down; labs and pages show it within seconds. Raises No."""
    words = " ".join(text.split())
    if not words:
        raise No("announcement_empty")
    if len(words) > LONGEST_TEXT:
        raise No("announcement_long", length=len(words), most=LONGEST_TEXT)
    if hours not in HOURS:
        raise No("number_out_of_range", field="hours", value=hours, least=HOURS[0], most=HOURS[-1])
    now = time.now()
    row = Announcement(
        id=new_id(PREFIX),
        cohort_id=cohort,
        text=words,
        author=author,
        created_at=now,
        shown_until=now + timedelta(hours=hours),
        withdrawn_at=None,
        withdrawn_by="",
    )
    session.add(row)
    session.flush()
    audit.note(session, time, author, "announcement.send", cohort, row.id, hours=hours)
    return row


def withdraw(session: Session, announcement: str, cohort: str, by: str, time: Clock) -> None:
    """Take it back from where it is still shown; again is harmless. Raises No."""
    row = session.get(Announcement, announcement)
    if row is None or row.cohort_id != cohort:
        raise No("announcement_unknown")
    if row.withdrawn_at is None:
        row.withdrawn_at, row.withdrawn_by = time.now(), by
        audit.note(session, time, by, "announcement.withdraw", cohort, row.id)


def listed(session: Session, cohort: str, time: Clock) -> list[Told]:
    """The newest of a cohort, for its staff."""
    readers = func.count(AnnouncementRead.username)
    rows = session.execute(
        select(Announcement, readers)
        .join(AnnouncementRead, AnnouncementRead.announcement_id == Announcement.id, isouter=True)
        .where(Announcement.cohort_id == cohort)
        .group_by(Announcement.id)
        .order_by(Announcement.created_at.desc())
        .limit(_LISTED)
    ).all()
    now = time.now()
    return [
        Told(row, row.withdrawn_at is None and row.shown_until > now, int(count))
        for row, count in rows
    ]


def live(session: Session, username: str, time: Clock) -> list[Announcement]:
    """What everybody of a person's cohorts is told now, the newest first."""
    return list(session.scalars(_live(username, time).order_by(Announcement.created_at.desc())))


def live_ids(session: Session, time: Clock) -> dict[str, tuple[str, ...]]:
    """By cohort, which announcements are shown now."""
    found: dict[str, tuple[str, ...]] = {}
    rows = session.execute(
        select(Announcement.cohort_id, Announcement.id)
        .where(Announcement.withdrawn_at.is_(None), Announcement.shown_until > time.now())
        .order_by(Announcement.id)
    )
    for cohort, announcement in rows:
        found[cohort] = (*found.get(cohort, ()), announcement)
    return found


def unseen(session: Session, username: str, time: Clock) -> list[Announcement]:
    """Of those, what no lab of this person has shown yet, oldest first."""
    seen = select(AnnouncementRead.announcement_id).where(AnnouncementRead.username == username)
    query = _live(username, time).where(Announcement.id.not_in(seen))
    return list(session.scalars(query.order_by(Announcement.created_at)))


def _live(username: str, time: Clock) -> Select[Announcement]:
    return (
        select(Announcement)
        .join(Membership, Membership.cohort_id == Announcement.cohort_id)
        .where(
            Membership.username == username,
            Membership.removed_at.is_(None),
            Announcement.withdrawn_at.is_(None),
            Announcement.shown_until > time.now(),
        )
    )


def words(row: Announcement, zone: str) -> str:
    """As it is shown in JupyterLab: who, when, what."""
    return f"{row.author}, {formats.clock(row.created_at, zone)}: {row.text}"


def close(session: Session, announcement: str, username: str, time: Clock) -> None:
    """A person's lab has shown it. Somebody else's announcement is silently left alone."""
    row = session.get(Announcement, announcement)
    if row is not None and session.get(Membership, (row.cohort_id, username)) is not None:
        known = session.get(AnnouncementRead, (announcement, username))
        if known is None:
            session.add(
                AnnouncementRead(
                    announcement_id=announcement, username=username, read_at=time.now()
                )
            )
