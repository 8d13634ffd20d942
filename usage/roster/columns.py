"""Which column of a roster means what: our own format, Canvas's and Moodle's, Korean too. Pure."""

from __future__ import annotations

import re
from typing import Literal

Format = Literal["dli", "canvas", "moodle"]

_MEANINGS = {
    "username": "username user login loginid sisloginid 아이디 사용자이름 사용자명 사용자id 계정",
    "email": "email emailaddress mail 이메일 이메일주소 전자우편 전자메일 메일",
    "name": "name fullname student studentname displayname 이름 성명 성함 학생 학생이름",
    "first": "firstname givenname",
    "last": "lastname surname familyname 성",
    "role": "role roles role1 courserole type 역할 구분",
    "status": "status",
}
_FIELDS = {word: field for field, words in _MEANINGS.items() for word in words.split()}

_ROLES = {
    "trainee": "trainee student learner studentenrollment 교육생 수강생 학생 학습자 수강자",
    "assistant": "assistant ta teachingassistant taenrollment 조교 보조강사",
    "instructor": "instructor teacher editingteacher teacherenrollment lecturer 강사 교사 교수",
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words.split()}

_CANVAS = {"sisloginid", "sisuserid", "loginid"}
_MOODLE = {"idnumber", "id번호", "학번", "role1", "course1", "cohort1"}


def plain(head: str) -> str:
    """A column's name without case, blanks and hyphens: "E-mail address" is "emailaddress"."""
    return re.sub(r"[\s_\-/.()]+", "", head).casefold()


def read(heads: list[str]) -> tuple[dict[str, int], list[str], str]:
    """Which column holds which field, the columns that are not read, and a field that two columns
    claim (empty: none)."""
    words = [plain(head) for head in heads]
    fields: dict[str, int] = {}
    unread, twice = [], ""
    # Korean Moodle: 성 is the family name, and 이름 beside it the given name.
    given = {"이름": "first"} if "성" in words else {}
    for place, word in enumerate(words):
        field = given.get(word) or _FIELDS.get(word)
        if field is None:
            unread.append(heads[place])
        elif field in fields:
            twice = twice or heads[place]
        else:
            fields[field] = place
    return fields, [head for head in unread if head], twice


def format_of(heads: list[str]) -> Format:
    """Where a file with these columns comes from."""
    words = {plain(head) for head in heads}
    if words & _CANVAS:
        return "canvas"
    names = bool(words & {"firstname", "성"}) and bool(words & {"lastname", "surname", "성"})
    return "moodle" if words & _MOODLE or names else "dli"


def role(text: str, source: Format) -> str | None:
    """The role meant; empty for an empty cell, None for an unknown word."""
    word = plain(text)
    if word == "teacher" and source == "moodle":
        return "assistant"  # Moodle's teacher may not edit; its editingteacher is the instructor
    return _ROLE_OF.get(word) if word else ""
