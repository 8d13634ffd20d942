"""What a person asked to start: user options, checked before anything is reserved or made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.course import Course, CourseError, Lab, load
from core.i18n import LANGUAGES, N_
from core.ids import is_id
from core.settings import Settings
from labs.text import say

KEYS = ("course", "lab", "cohort", "gpu", "language")


class OrderError(ValueError):
    """A start that cannot be: a sentence in the reader's language."""


@dataclass(frozen=True)
class Order:
    """A checked start. `gpu`: the person wants a GPU."""

    course: Course
    lab: Lab
    cohort: str
    gpu: bool
    language: str


def language_of(options: Mapping[str, Any], settings: Settings) -> str:
    """The language in `options` when it is one of ours, else the site's."""
    language = options.get("language")
    return language if language in LANGUAGES else settings.site.language


def read(options: Mapping[str, Any], settings: Settings) -> Order:
    """Check `options` (course, lab, cohort, gpu, language: strings). Raises OrderError."""
    language = language_of(options, settings)
    text = {key: _word(options.get(key, ""), key, language) for key in KEYS}
    if not text["course"] or not text["lab"]:
        raise OrderError(say(N_("Please choose a course and a lab on your home page."), language))
    course = _course(text["course"], language, settings)
    lab = course.lab(text["lab"])
    if lab is None:
        raise OrderError(
            say(
                N_("The course {course} has no lab {lab}. Please choose one on your home page."),
                language,
                course=course.title.in_(language),
                lab=text["lab"],
            )
        )
    gpu = _gpu(text["gpu"], lab, language)
    if gpu and not is_id(text["cohort"]):
        raise OrderError(
            say(N_("Please choose the cohort whose GPU time this lab should use."), language)
        )
    return Order(course, lab, text["cohort"], gpu, language)


def not_offered(order: Order) -> OrderError:
    """The person is in no running cohort that has this course."""
    return OrderError(
        say(
            N_(
                "You are not in a cohort that offers the course {course}. "
                "Ask your instructor for an event code."
            ),
            order.language,
            course=order.course.title.in_(order.language),
        )
    )


def _word(value: object, key: str, language: str) -> str:
    if isinstance(value, str) and len(value) <= 64:
        return value
    raise OrderError(say(N_("The value of {key} cannot be used."), language, key=key))


def _course(course_id: str, language: str, settings: Settings) -> Course:
    unknown = OrderError(
        say(
            N_("There is no course {course}. Please choose one on your home page."),
            language,
            course=course_id,
        )
    )
    folder = settings.courses_dir / course_id
    # Checked first: an id never holds "/" or "..", so the folder lies in courses_dir.
    if not is_id(course_id) or not folder.is_dir():
        raise unknown
    try:
        return load(folder, settings.labs.images)
    except CourseError as error:
        raise OrderError(
            say(
                N_("The course {course} cannot be used at the moment. Tell your instructor."),
                language,
                course=course_id,
            )
        ) from error


def _gpu(wish: str, lab: Lab, language: str) -> bool:
    if wish not in ("yes", "no", ""):
        raise OrderError(say(N_("The value of {key} cannot be used."), language, key="gpu"))
    if wish == "yes" and lab.gpu.need == "none":
        raise OrderError(
            say(N_("This lab does not use a GPU. Please start it without one."), language)
        )
    if wish != "yes" and lab.gpu.need == "required":
        raise OrderError(say(N_("This lab needs a GPU. Please start it with one."), language))
    return wish == "yes"
