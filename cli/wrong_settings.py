"""Settings that cannot be used, in the language of the terminal."""

from __future__ import annotations

from cli.text import _
from core.i18n import N_
from core.settings import Problem, Settings, SettingsError

_WORDS = {
    "absolute": N_("must be an absolute path"),
    "address": N_("must be an address such as https://labs.example.org, without a path"),
    "bool_parsing": N_("must be true or false"),
    "bool_type": N_("must be true or false"),
    "database": N_("must be a URL such as postgresql+psycopg://user:password@host/name"),
    "dict_type": N_("must be a table"),
    "float_parsing": N_("must be a number"),
    "float_type": N_("must be a number"),
    "greater_than": N_("must be more than {gt}"),
    "greater_than_equal": N_("must be at least {ge}"),
    "int_from_float": N_("must be a whole number"),
    "int_parsing": N_("must be a whole number"),
    "int_type": N_("must be a whole number"),
    "less_than_equal": N_("must be at most {le}"),
    "list_type": N_("must be a list"),
    "literal_error": N_("must be one of {expected}"),
    "path_type": N_("must be a path, in quotes"),
    "same_port": N_("{one} and {other} are both {port}; give each a port of its own"),
    "string_pattern_mismatch": N_("must look like {pattern}"),
    "string_too_short": N_("must not be empty"),
    "string_type": N_("must be text, in quotes"),
    "subdomains": N_("subdomains needs url, whose host the names are below"),
    "zone": N_("must be an IANA time zone such as Asia/Seoul"),
}
"""By pydantic's code, or our own of core.setting_types."""


def check_named(settings: Settings) -> None:
    """Read what settings name, before anything is started with it.

    Raises ConsentError or SimulationError.
    """
    from core import consent
    from labs import simulated

    consent.load(settings)
    if settings.gpus.simulated:
        simulated.parse(settings.gpus.simulated, "", settings.gpus.seats)


def sentences(error: SettingsError) -> str:
    """One line for each: the setting, its value, and what is allowed."""
    return "\n".join(map(_sentence, error.problems)) or str(error)


def _sentence(problem: Problem) -> str:
    return f"{problem.name} = {problem.value}: {_wrong(problem)}"


def _wrong(problem: Problem) -> str:
    if problem.kind == "extra_forbidden":
        return _unknown(**problem.limits)
    if problem.kind in _WORDS:
        return _(_WORDS[problem.kind], **problem.limits)
    return problem.message


def _unknown(likely: str, section: str, names: str) -> str:
    words = [_("unknown setting.")]
    if likely:
        words.append(_("Did you mean {name}?", name=likely))
    if section:
        words.append(_("In [{section}] there are: {names}", section=section, names=names))
    else:
        words.append(_("Outside of sections there are: {names}", names=names))
    return " ".join(words)
