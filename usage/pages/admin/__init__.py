"""Administration, one module per subject; `router` has all their routes."""

from __future__ import annotations

from fastapi import APIRouter

from usage.pages.admin import budget, cohorts, machines, people, rosters

router = APIRouter()
for _part in (cohorts, people, rosters, budget, machines):
    router.include_router(_part.router, prefix="/admin")
