"""What the pages show, gathered from the database."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import now
from core.course import Assignment, Course
from grader import certificates, dates, jobs, results
from grader.models import Dates, Feedback, Job, Release, Score, Solution, Submission
from grader.submissions import feedback_of, newest_release, of_person

MOST_ROWS = 30
"""Submissions in an assignment's part of the course page; the gradebook has all."""


@dataclass(frozen=True)
class Attempt:
    """One of a learner's own submissions. `score` only once feedback on it was released."""

    submission: Submission
    score: Score | None
    feedback: list[str]
    """Notebooks with a feedback page."""


@dataclass(frozen=True)
class OwnWork:
    """A learner's view of one assignment."""

    assignment: Assignment
    published: bool
    attempts: list[Attempt]
    when: dates.When
    certificate: str
    """Id of the course's certificate; empty when there is none that stands."""
    lab: str
    """Lab in which it is worked on; empty when there is none."""
    solution: bool
    """The solution may be read."""

    @property
    def last(self) -> Attempt | None:
        """The attempt that counts."""
        return self.attempts[-1] if self.attempts else None


def own_work(session: Session, course: Course, cohort: str, username: str) -> list[OwnWork]:
    """Every assignment of a course as one learner of a cohort sees it."""
    own = of_person(session, username, course.id, cohort)
    pages = feedback_of(session, (s.id for s in own))
    scores = {s.id: certificates.released_score(session, s) for s in own if s.id in pages}
    given = certificates.of(session, course.id, cohort, username)
    certificate = given.id if given and not given.revoked_at else ""
    found = []
    for item in course.assignments:
        release = newest_release(session, course.id, item.id)
        attempts = [
            Attempt(s, scores.get(s.id), sorted(pages.get(s.id, {})))
            for s in own
            if s.assignment == item.id
        ]
        lab = next((lab.id for lab in course.labs if lab.assignment == item.id), "")
        when = dates.of(session, course.id, cohort, item, username)
        published = release is not None and when.is_open(now())
        solution = session.get(Solution, (course.id, cohort, item.id)) is not None
        found.append(OwnWork(item, published, attempts, when, certificate, lab, solution))
    return found


@dataclass(frozen=True)
class Desktop:
    """An instructor's view of one assignment."""

    assignment: Assignment
    release: Release | None
    rows: list[results.Row]
    publishing: Job | None
    releasing: Job | None
    progress: jobs.Progress | None
    """The newest grading batch while it is running."""
    when: dates.When = field(default_factory=lambda: dates.When(None, None))
    """The cohort's dates."""
    counts: dict[str, int] = field(default_factory=dict)
    extended: int = 0
    """People for whom other dates hold."""
    solution: Solution | None = None

    @property
    def ungraded(self) -> int:
        """Last attempts without a score that nobody has asked for, or that could not be graded."""
        return sum(row.score is None and row.state in ("waiting", "failed") for row in self.rows)

    @property
    def graded(self) -> int:
        """Last attempts with a score."""
        return sum(row.score is not None for row in self.rows)

    @property
    def first(self) -> list[results.Row]:
        """All rows by name; of a large class as many as a page can hold, the urgent ones."""
        if len(self.rows) <= MOST_ROWS:
            return self.rows
        return sorted(self.rows, key=_urgency)[:MOST_ROWS]

    @property
    def stage(self) -> str:
        """draft, planned (published, opens later), open or closed."""
        if self.release is None:
            return "draft"
        if not self.when.is_open(now()):
            return "planned"
        return "closed" if self.when.close is not None and self.when.close <= now() else "open"

    @property
    def busy(self) -> bool:
        """Something is under way, so the page should look again."""
        running = [j for j in (self.publishing, self.releasing) if j and _is_open(j)]
        return bool(running or self.progress)

    @property
    def problem(self) -> str:
        """Why the newest publication or release of feedback failed, as kept (grader.explained)."""
        for job in (self.publishing, self.releasing):
            if job is not None and job.state == "parked":
                return job.reason
        return ""


def desktop(session: Session, course: Course, cohort: str, assignment: Assignment) -> Desktop:
    """One cohort's work on an assignment as its instructor sees it."""
    rows = results.rows(session, course.id, assignment.id, cohort=cohort)
    counts = {"all": len(rows)}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    grading = jobs.last_of(session, "grade", course.id, assignment.id, cohort)
    progress = jobs.progress(session, grading.batch) if grading else None
    rules = dates.rows_of(session, course.id, cohort, assignment.id)
    return Desktop(
        assignment=assignment,
        release=newest_release(session, course.id, assignment.id),
        rows=rows,
        publishing=jobs.last_of(session, "publish", course.id, assignment.id),
        releasing=jobs.last_of(session, "feedback", course.id, assignment.id, cohort),
        progress=progress if progress and not progress.finished else None,
        when=dates.pick(assignment, rules, cohort, ""),
        counts=counts,
        extended=len({row.username for row in rules if row.username}),
        solution=session.get(Solution, (course.id, cohort, assignment.id)),
    )


def _urgency(row: results.Row) -> tuple[int, bool]:
    order = ("failed", "manual", "waiting", "grading", "graded", "released")
    return order.index(row.state), not (row.score and row.score.flags)


def mark(session: Session) -> str:
    """Another text after any change that a course's page could show: a few small questions."""
    jobs_by_state = session.execute(
        select(Job.state, func.count(), func.max(Job.not_before)).group_by(Job.state)
    ).all()
    newest = [session.scalar(select(func.max(one))) for one in (Release.id, Score.id, Feedback.id)]
    times = [session.scalar(select(func.max(one))) for one in (Dates.set_at, Solution.released_at)]
    tables = (Submission, Dates, Solution)
    rows = [session.scalar(select(func.count()).select_from(table)) for table in tables]
    return repr((sorted(map(tuple, jobs_by_state)), newest, times, rows))


def _is_open(job: Job) -> bool:
    return job.state in ("queued", "running")
