"""What the runner that holds Docker's socket may ask: which GPU a lease gives, and nothing else."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException

from core.wire import Lease
from usage import leases
from usage.api_internal import Service
from usage.refusals import No
from web.auth import internal

router = APIRouter(prefix="/api/internal")

Runner = Annotated[str, Depends(internal("key-runner"))]


@router.get("/leases/{lease_id}")
def lease(lease_id: str, service: Service, _caller: Runner) -> Lease:
    """An open lease; 404 for one that ended or never was."""
    with service.database.read() as session:
        try:
            found = leases.get(session, lease_id)
        except No:
            raise HTTPException(404, "no such lease") from None
        if found.state == "ended":
            raise HTTPException(404, "that lease has ended")
        return leases.as_lease(found)
