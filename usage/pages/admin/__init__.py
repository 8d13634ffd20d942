"""Administration, one module per subject; `router` has all their routes."""

from __future__ import annotations

from fastapi import APIRouter

from usage.pages.admin import (
    audit,
    budget,
    cohorts,
    machines,
    people,
    personal,
    reports,
    rosters,
)

router = APIRouter()
for _part in (cohorts, people, rosters, budget, machines, reports, audit, personal):
    router.include_router(_part.router, prefix="/admin")
