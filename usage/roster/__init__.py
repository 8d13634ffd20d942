"""Rosters: a file of people becomes a preview, and exactly that preview becomes enrolments.

`parse` reads bytes (pure), `plan` says per row what will happen or why not (pure), `imports` keeps
a preview and applies it, `waiting` holds people who have no account yet until they sign up.
"""

from __future__ import annotations

from usage.roster.parse import Roster, RosterError, Row, parse_roster

__all__ = ["Roster", "RosterError", "Row", "parse_roster"]
