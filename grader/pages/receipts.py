"""A receipt as a file, and the page that tells whether this platform gave one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import HTMLResponse, JSONResponse

from grader import receipts
from grader.desk import AtDesk
from grader.pages.learner import visible
from web.auth import Person, signed_in
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]


@router.get("/submissions/{submission}/receipt")
def receipt(desk: AtDesk, person: Someone, submission: str) -> JSONResponse:
    """The signed receipt: for its owner and for instructors of the cohort."""
    found, _teaches = visible(desk, person, submission)
    return JSONResponse(
        receipts.receipt(found, desk.receipt_key),
        headers={"Content-Disposition": f'attachment; filename="receipt-{found.id}.json"'},
    )


@router.get("/receipts", dependencies=[Depends(signed_in)])
def ask(request: Request) -> HTMLResponse:
    """The form."""
    return render(request, "grader/receipts.html", text="", stated=None)


@router.post("/receipts", dependencies=[Depends(signed_in)])
def check(
    request: Request, desk: AtDesk, receipt: Annotated[str, Form(max_length=10_000)]
) -> HTMLResponse:
    """What a genuine receipt states; of any other only that it is none."""
    stated = receipts.stated(receipt, desk.receipt_key)
    return render(request, "grader/receipts.html", text=receipt, stated=stated)
