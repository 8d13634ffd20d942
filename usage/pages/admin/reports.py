"""Reports per cohort and organisation, and of one cohort, as page, CSV and PDF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from core.settings import Settings
from usage import forms
from usage.api_internal import Service
from usage.classroom.coursework import Coursework
from usage.pages.admin.common import BASE, Admin, Me, cohort_of, role_in
from usage.refusals import No
from usage.reports import figures, papers
from usage.reports.figures import Period
from usage.reports.papers import Paper
from web import sheets
from web.assets import AssetError
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()

Kind = Literal["cohort", "organisation"]
Format = Literal["csv", "pdf"]


@dataclass(frozen=True)
class Span:
    """The days that were asked for, as typed and as moments."""

    since: str
    until: str
    period: Period

    @property
    def query(self) -> str:
        """As a query of an address."""
        return f"since={self.since}&until={self.until}"


def _span(request: Request, since: str = "", until: str = "") -> Span:
    zone = request.app.state.settings.site.timezone
    try:
        first = forms.day_start(since, zone)
        last = forms.day_end(until, zone)
    except No:
        return Span("", "", Period())
    return Span(since.strip(), until.strip(), Period(first, last))


Days = Annotated[Span, Depends(_span)]


@router.get("/reports")
async def show(request: Request, service: Service, _me: Admin, days: Days) -> Response:
    """Both tables."""
    completed = await _completions(request)

    def read() -> tuple[list[figures.Figures], list[figures.Figures]]:
        with service.database.read() as session:
            return (
                figures.by_cohort(session, days.period, completed),
                figures.by_organisation(session, days.period, completed),
            )

    cohorts, organisations = await run_in_threadpool(read)
    return render(
        request,
        "usage/reports.html",
        cohorts=cohorts,
        organisations=organisations,
        days=days,
        total=figures.total(cohorts),
        papers=papers,
        completions_known=completed is not None,
        base=f"{BASE}/reports",
    )


@router.get("/reports/{kind}.{form}")
async def download(
    request: Request, kind: Kind, form: Format, service: Service, me: Admin, days: Days
) -> Response:
    """One of the tables as a file."""
    completed = await _completions(request)
    made = figures.by_cohort if kind == "cohort" else figures.by_organisation
    title = _("GPU time by cohort") if kind == "cohort" else _("GPU time by organisation")

    def read() -> Response:
        with service.database.read() as session:
            lines = made(session, days.period, completed)
        service.note_read(me.name, "cohort.export")
        return _file(request, service, Paper(title, _about(request, days), lines, kind), form)

    return await run_in_threadpool(read)


@router.get("/cohorts/{cohort}/report")
async def show_cohort(
    request: Request, cohort: str, service: Service, me: Me, days: Days
) -> Response:
    """One cohort: its line, and one line per person; for its staff, too."""
    completed = await _completions(request)

    def read() -> Response:
        role_in(service, me, cohort)
        row = cohort_of(service, cohort)
        service.note_read(me.name, "people.read", cohort)
        with service.database.read() as session:
            line = figures.by_cohort(session, days.period, completed, cohort)[0]
            people = figures.by_person(session, days.period, cohort)
        return render(
            request,
            "usage/report.html",
            cohort=row,
            line=line,
            people=people,
            days=days,
            papers=papers,
            may_change=me.admin,
            base=f"{BASE}/cohorts/{cohort}/report",
        )

    return await run_in_threadpool(read)


@router.get("/cohorts/{cohort}/report.{form}")
def download_cohort(
    request: Request, cohort: str, form: Format, service: Service, me: Me, days: Days
) -> Response:
    """One line per person as a file; written down, since it takes personal data away."""
    role_in(service, me, cohort)
    row = cohort_of(service, cohort)
    with service.database.read() as session:
        lines = figures.by_person(session, days.period, cohort)
    service.note(me.name, "cohort.export", cohort)
    title = _("GPU time of %(cohort)s") % {"cohort": row.name}
    return _file(request, service, Paper(title, _about(request, days), lines, "person"), form)


async def _completions(request: Request) -> dict[str, int] | None:
    coursework: Coursework = request.app.state.coursework
    return await coursework.completions()


def _about(request: Request, days: Span) -> str:
    return papers.period_words(days.period, request.app.state.settings.site.timezone)


def _file(request: Request, service: Service, paper: Paper, form: Format) -> Response:
    settings: Settings = request.app.state.settings
    if form == "csv":
        body, kind = papers.to_csv(paper), sheets.MEDIA_TYPE
    else:
        try:
            body = papers.to_pdf(
                paper, settings.state_dir, service.clock.now(), settings.site.timezone
            )
        except AssetError:
            said = _("The font for PDF files is not installed. Run ./dli up on the machine.")
            raise HTTPException(409, said) from None
        kind = "application/pdf"
    headers = {"Content-Disposition": f'attachment; filename="report-{paper.kind}.{form}"'}
    return Response(body, media_type=kind, headers=headers)
