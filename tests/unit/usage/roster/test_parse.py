"""Rosters as people have them: other platforms' exports, Excel's encodings, and hostile files."""

from __future__ import annotations

import pytest

from usage.roster import Roster, RosterError, parse_roster

OURS = "email,name,role\nminji@example.com,김민지,교육생\nlee@example.com,이강사,instructor\n"
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Homework 1 (123)\n"
    "    Points Possible,,,,,10\n"
    '"Kim, Minji",101,2026001,minji@example.com,A,9\n'
    '"홍, 길동",102,2026002,gildong,A,\n'
    '"Student, Test",,,x9f,A,\n'
)
MOODLE = (
    "First name,Surname,ID number,Institution,Email address,Role\n"
    "Minji,Kim,2026001,KT,Minji@Example.com,student\n"
    "길동,홍,2026002,KT,gildong@example.com,teacher\n"
)
MOODLE_KO = "이름,성,이메일 주소\n길동,홍,gildong@example.com\n"


def people(roster: Roster) -> list[tuple[str, str, str, str]]:
    return [(r.email, r.username, r.name, r.role) for r in roster.rows if r.problem is None]


def problems(roster: Roster) -> dict[int, str]:
    return {row.line: row.problem.code for row in roster.rows if row.problem}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp949"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_encoding_and_separator(encoding: str, delimiter: str, ending: str) -> None:
    text = OURS.replace(",", delimiter).replace("\n", ending)
    roster = parse_roster(text.encode(encoding))
    assert (roster.source, roster.delimiter) == ("dli", delimiter)
    assert people(roster) == [
        ("minji@example.com", "", "김민지", "trainee"),
        ("lee@example.com", "", "이강사", "instructor"),
    ]


def test_canvas() -> None:
    roster = parse_roster(CANVAS.encode())
    assert roster.source == "canvas"
    assert people(roster) == [
        ("minji@example.com", "", "Minji Kim", ""),
        ("", "gildong", "홍길동", ""),
    ]
    assert "Homework 1 (123)" in roster.unread
    assert [row.line for row in roster.rows] == [3, 4]


def test_moodle_in_english_and_korean() -> None:
    roster = parse_roster(MOODLE.encode())
    assert roster.source == "moodle"
    assert people(roster) == [
        ("minji@example.com", "", "Minji Kim", "trainee"),
        ("gildong@example.com", "", "홍길동", "assistant"),
    ]
    korean = parse_roster(MOODLE_KO.encode("cp949"))
    assert (korean.source, people(korean)) == (
        "moodle",
        [("gildong@example.com", "", "홍길동", "")],
    )


def test_excels_own_line_and_a_name_with_a_line_break_count_right() -> None:
    roster = parse_roster(b'sep=;\nemail;name\n\na@b.io;"two\nlines"\nc@d.io;Cho\n')
    assert problems(roster) == {4: "control"}
    assert [row.line for row in roster.rows] == [4, 6]


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ("nobody-at-all,x,", "email"),
        (",x,", "nobody"),
        ("a@b.io,=HYPERLINK(1),", "formula"),
        ("a@b.io,+82 10,", "formula"),
        ("a@b.io,x,boss", "role"),
        ("a@b.io,x,admin", "role"),
        ("a@b.io,x,,,more", "cells"),
        (f"a@b.io,{'x' * 201},", "long"),
        ("a@b.io,x\x1b[31m,", "control"),
        ("a@b.io,\u202ex,", "control"),
        ("a@b.io\tx,x,", "control"),
    ],
)
def test_bad_rows_are_named_and_the_others_stay(cells: str, code: str) -> None:
    roster = parse_roster(f"email,name,role\n{cells}\nok@b.io,Ok,\n".encode())
    assert problems(roster) == {2: code}
    assert people(roster) == [("ok@b.io", "", "Ok", "")]


def test_a_person_named_twice() -> None:
    text = "email,username,name\na@b.io,ann,Ann\nA@B.io,ann,Ann\na@b.io,,Anna\n,ann,Ann\n"
    assert problems(parse_roster(text.encode())) == {
        3: "repeated",
        4: "contradicts",
        5: "contradicts",
    }


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"\n \n\t\n", "empty"),
        (b"email,name\n", "no_rows"),
        (b"name,grade\nKim,3\n", "no_person_column"),
        (b"email,mail\na@b.io,c@d.io\n", "column_twice"),
        (b"email\na@b.io\0\n", "nul"),
        (b'email,name\na@b.io,"never closed\n', "quotes"),
        (b'email,name\na@b.io,"x"y"\n', "quotes"),
        (b"email,name\na@b.io," + b"x" * 1_000_000 + b"\n", "cell_too_long"),
        (b"email\n" + b"".join(b"p%d@b.io\n" % n for n in range(10_000)), "too_many_rows"),
        (b"email\n" + b"x" * 6_000_000, "too_large"),
        (b"email" + b",x" * 600 + b"\n", "too_many_columns"),
        (b"\xff\xd8\xff\xe0JFIF" + bytes(range(1, 256)), "encoding"),
        (b"PK\x03\x04" + b"\0" * 200, "spreadsheet"),
    ],
)
def test_files_that_cannot_be_read_are_refused_whole(data: bytes, code: str) -> None:
    with pytest.raises(RosterError) as caught:
        parse_roster(data)
    assert caught.value.code == code
