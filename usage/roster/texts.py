"""What rosters say to people."""

from __future__ import annotations

from usage.roster.parse import Problem
from usage.roster.plan import Step
from web.i18n import gettext as _


def sentences() -> dict[str, str]:
    """Refusals, by code."""
    return {
        "roster_too_large": _(
            "This file is too large: at most %(most)s MB. Save only the list of people as CSV."
        ),
        "roster_spreadsheet": _(
            "This is a spreadsheet file, not CSV. Open it and save it as “CSV UTF-8”."
        ),
        "roster_encoding": _(
            "The letters of this file cannot be read as UTF-8, UTF-16 or CP949. Save it as "
            "“CSV UTF-8”."
        ),
        "roster_nul": _(
            "This file has NUL characters in it, so it is not a text file. Save it as CSV again."
        ),
        "roster_empty": _("This file is empty. Its first line must name the columns."),
        "roster_no_rows": _("This file names columns but nobody below them."),
        "roster_no_person_column": _(
            "No column says who a person is. Name one “email” or “username” in the first line. "
            "Columns found: %(found)s."
        ),
        "roster_column_twice": _(
            "The column “%(column)s” means the same as another column. Remove one of the two."
        ),
        "roster_quotes": _(
            "Line %(line)s: a quotation mark is opened and not closed rightly. Save the file as "
            "CSV again."
        ),
        "roster_cell_too_long": _("Line %(line)s: a cell is far too long. Shorten or remove it."),
        "roster_too_many_columns": _("Line %(line)s: more than %(most)s columns."),
        "roster_too_many_rows": _(
            "More than %(most)s people in one file. Split it into several files."
        ),
        "roster_gone": _(
            "This preview is gone: it is kept for one day, for the person who made it. Upload the "
            "file again."
        ),
        "roster_no_file": _("Choose a file first."),
        "expected_unknown": _("This person is not expected here any more."),
        "expected_absent": _("Nobody has signed up with this e-mail address yet."),
    }


def act(step: Step) -> str:
    """What will be done with a row."""
    if step.why is not None:
        return _("Left out")
    return {
        "enrol": _("Becomes a member"),
        "return": _("Becomes a member again"),
        "change": _("Gets another role"),
        "expect": _("Becomes a member at sign-up"),
        "update": _("Is expected already; is updated"),
        "confirm": _("Needs your confirmation"),
        "same": _("Is a member already"),
        "waits": _("Is expected already"),
    }[step.act]


def counted(act_code: str) -> str:
    """A kind of step, as a heading above a number; what is none stays as it is."""
    return {
        "enrol": _("New members"),
        "return": _("Members again"),
        "change": _("Role changes"),
        "expect": _("Members at sign-up"),
        "update": _("Updated"),
        "confirm": _("To be confirmed"),
        "same": _("Members already"),
        "waits": _("Expected already"),
        "out": _("Left out"),
    }.get(act_code, act_code)


def remark(step: Step) -> str:
    """Why, or what to do; empty when there is nothing to add."""
    if step.why is not None:
        return problem(step.why)
    return {
        "expect": _("Has no account. Send an event code of this cohort; the e-mail must match."),
        "confirm": _(
            "The account %(who)s has this e-mail address, which nobody has verified. Confirm the "
            "role on the People page after the import."
        )
        % {"who": step.who},
    }.get(step.act, "")


def problem(why: Problem) -> str:
    """Why a row is left out, and what to do."""
    text = {
        "cells": _("More cells than the first line has columns. Put text with commas in quotes."),
        "long": _("A cell has more than 200 characters. Shorten it."),
        "control": _("Has characters that cannot be seen. Type the cell again."),
        "gone": _("The other platform says: %(value)s."),
        "nobody": _("Neither e-mail nor user name. Fill in one of them."),
        "email": _("%(value)s is not an e-mail address. Correct it."),
        "username": _("%(value)s cannot be a user name. Correct it or leave it empty."),
        "formula": _("The name begins like a formula. Remove the first character."),
        "role": _("%(value)s is no role here. Write trainee, assistant or instructor."),
        "repeated": _("The same person as in line %(value)s; that line counts."),
        "contradicts": _("Says something else than line %(value)s. Remove one of the two."),
        "ambiguous": _(
            "Several accounts have this e-mail address: %(value)s. Add the right user name."
        ),
        "other_email": _(
            "The account %(value)s has another e-mail address. Correct the row, or leave the user "
            "name empty."
        ),
    }[why.code]
    return text % {"value": why.value}
