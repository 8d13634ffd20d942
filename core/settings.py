"""Typed settings: `dli.toml`, then environment (`DLI_SECTION__KEY`) over it.

This module is the only reader of the environment and of settings files. Unknown or wrong keys are
refused by name. `docs/reference/settings.md` documents each one (a test holds it complete).
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.setting_types import Address, Database, Factor, Folder, Minutes, Port, Zone

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where `courses/`, `images/` and `jupyterhub_config.py` lie."""


@dataclass(frozen=True)
class Problem:
    """One setting that cannot be used."""

    name: str
    """As in the file (``ports.hub``), or the environment variable."""
    value: str
    kind: str
    """pydantic's code, such as ``less_than_equal`` or ``extra_forbidden``."""
    limits: Mapping[str, Any]
    """What the code's sentence needs."""
    message: str
    """What is wrong and what is allowed, in English."""

    def __str__(self) -> str:
        return f"{self.name} = {self.value}: {self.message}"


class SettingsError(ValueError):
    """Settings that cannot be used: of each the name, the value, and what is allowed."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message or "\n".join(map(str, problems)))
        self.problems = tuple(problems)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(_Section):
    """What people see and where."""

    name: str = Field("DLI Labs", min_length=1, description="Name of the platform on every page")
    host: str = Field("127.0.0.1", description="Address that the public proxy listens on")
    url: Address = Field("", description="Public address; empty: http://<host>:<ports.public>")
    language: Literal["ko", "en"] = Field("ko", description="Language before a person chose one")
    timezone: Zone = Field("Asia/Seoul", description="IANA zone for times on pages")
    consent_file: str = Field(
        "", description="What people agree to at sign-up (TOML); empty: core/consent.toml"
    )
    subdomains: bool = Field(
        False,
        description="Each lab under a name of its own, <user>.<host of url>; needs wildcard DNS",
    )

    @model_validator(mode="after")
    def _has_a_name(self) -> Site:
        if self.subdomains and not self.url:
            raise PydanticCustomError(
                "subdomains", "subdomains needs url, whose host the names are below"
            )
        return self


class Ports(_Section):
    """TCP ports on this machine; all but `public` and `hub` are on loopback."""

    public: Port = Field(8000, description="The proxy: the one address people open")
    proxy_api: Port = Field(8001, description="The proxy's control API")
    hub: Port = Field(8081, description="JupyterHub's API, also on the labs' network gateway")
    usage: Port = Field(8091, description="Usage service")
    grader: Port = Field(8092, description="Grader service")

    @model_validator(mode="after")
    def _differ(self) -> Ports:
        names: dict[int, str] = {}
        for name, port in self:
            other = names.setdefault(port, name)
            if other != name:
                raise PydanticCustomError(
                    "same_port",
                    "{one} and {other} are both {port}; give each a port of its own",
                    {"one": f"ports.{other}", "other": f"ports.{name}", "port": port},
                )
        return self


class Usage(_Section):
    """Budgets, leases and the meter."""

    database: Database = Field("", description="SQLAlchemy URL; empty: SQLite in the state folder")
    heartbeat_seconds: int = Field(10, ge=1, le=60, description="How often a running lab is seen")
    grant_seconds: int = Field(
        300, ge=5, le=3600, description="GPU time reserved ahead for a running lab"
    )
    lab_max_minutes: int = Field(240, ge=1, le=10080, description="Longest time of one GPU lab")
    warn_minutes: list[Minutes] = Field(
        [30, 10, 2], description="Minutes before a stop at which the learner is warned"
    )
    stop_grace_seconds: float = Field(
        0.3, ge=0, le=60, description="From deadline to kill, when an orderly stop did not finish"
    )
    free_failure_minutes: int = Field(
        3, ge=0, le=60, description="A lab the platform ended within this time is free"
    )
    offer_seconds: int = Field(
        120, ge=10, le=3600, description="How long a free GPU is held for the next in the queue"
    )
    idle_minutes: int = Field(
        30, ge=0, le=1440, description="A GPU lab idle for so long is stopped; 0: never"
    )
    prestart_minutes: int = Field(
        10, ge=1, le=60, description="So long before a reserved window its labs are started"
    )
    prestart_grace_minutes: int = Field(
        15,
        ge=1,
        le=240,
        description="A prestarted lab nobody opened is returned so long after its class began",
    )
    prestart_at_once: int = Field(
        4, ge=1, le=64, description="Prestarts under way at the same time"
    )
    keep_days: int = Field(
        365,
        ge=0,
        le=36500,
        description="Days after a cohort's end until its people's data is "
        "deleted; 0: never, unless a cohort has a date of its own",
    )
    announce_days: int = Field(
        30, ge=1, le=365, description="Days before that deletion from which pages announce it"
    )


class Grader(_Section):
    """Submissions and grading."""

    database: Database = Field("", description="SQLAlchemy URL; empty: SQLite in the state folder")
    workers: int = Field(1, ge=1, le=64, description="Grading worker processes")
    max_submission_mb: int = Field(20, ge=1, le=1024, description="Largest submission")
    learner_quota_mb: int = Field(1000, ge=1, description="All submissions of one learner together")
    max_files: int = Field(200, ge=1, le=10000, description="Most files in one submission")
    refused_types: list[str] = Field(
        [".exe", ".dll", ".so", ".dylib", ".pyd", ".com", ".bat", ".msi"],
        description="Endings of file names that cannot be submitted",
    )
    wall_seconds: int = Field(300, ge=5, le=86400, description="Longest run of one notebook")
    memory_mb: int = Field(2048, ge=256, description="Memory of one grading container")
    pids: int = Field(256, ge=16, description="Processes and threads in one grading container")
    output_mb: int = Field(8, ge=1, le=64, description="Most output kept of one notebook")


class Labs(_Section):
    """What every lab container is allowed."""

    network: str = Field("", description="Docker network; empty: <instance>-labs")
    images: dict[str, str] = Field(
        {"lab-cpu": "dli/lab-cpu:latest", "lab-gpu": "dli/lab-gpu:latest"},
        description="Images that courses may name, and the Docker image of each",
    )
    sandbox_image: str = Field("dli/sandbox:latest", description="Image of grading containers")
    memory_mb: int = Field(2048, ge=256, description="Memory of one lab")
    cpus: float = Field(2.0, gt=0, description="CPUs of one lab")
    pids: int = Field(512, ge=32, description="Processes and threads in one lab")
    home_gb: int = Field(
        10, ge=0, le=10_000, description="Size of a new home folder in GiB; 0: no limit"
    )
    start_seconds: int = Field(120, ge=5, description="A start that takes longer has failed")
    starts_at_once: int = Field(
        0,
        ge=0,
        le=1000,
        description="Labs that start at the same time, others wait in line; 0: one per processor",
    )
    docker_threads: int = Field(8, ge=1, le=64, description="Docker calls at the same time")


class Gpus(_Section):
    """Where the GPU inventory comes from."""

    simulated: str = Field(
        "",
        description="Only used without NVML, e.g. '2x NVIDIA H100 80GB, MIG 7'; "
        "said on every page while in use",
    )
    seats: int = Field(
        1, ge=1, le=8, description="Time-slice seats per whole GPU (1: one lab has it alone)"
    )
    factors: dict[str, Factor] = Field(
        {},
        description="What a GPU of a model counts in budgets, by how its name begins, e.g. "
        "'NVIDIA L4' as '1/4'; 1 when no name fits",
    )


class Settings(BaseSettings):
    """Every setting of the platform. Immutable; load it once with `load()`."""

    model_config = SettingsConfigDict(
        env_prefix="DLI_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    instance: str = Field(
        "dli",
        pattern=r"^[a-z0-9][a-z0-9-]{0,20}$",
        description="Prefix and label of every container, network and volume made by this platform",
    )
    state_dir: Folder = Field(ROOT / "var", description="Databases, submissions, logs and secrets")
    courses_dir: Folder = Field(ROOT / "courses", description="One folder per course")
    site: Site = Site()
    ports: Ports = Ports()
    usage: Usage = Usage()
    grader: Grader = Grader()
    labs: Labs = Labs()
    gpus: Gpus = Gpus()

    @property
    def public_url(self) -> str:
        """Where people sign in, without a trailing slash."""
        return self.site.url.rstrip("/") or f"http://{self.site.host}:{self.ports.public}"

    @property
    def network(self) -> str:
        """Name of the labs' private Docker network."""
        return self.labs.network or f"{self.instance}-labs"

    @property
    def usage_database(self) -> str:
        """SQLAlchemy URL of the usage service's own database."""
        return self.usage.database or f"sqlite:///{self.state_dir}/usage.sqlite"

    @property
    def grader_database(self) -> str:
        """SQLAlchemy URL of the grader service's own database."""
        return self.grader.database or f"sqlite:///{self.state_dir}/grader.sqlite"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the library's signature)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Given values first, then the environment, then the settings file."""
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, toml_file=settings_file()),
        )


def settings_file() -> Path:
    """The settings file in use: ``$DLI_SETTINGS``, else ``dli.toml`` in the checkout."""
    return Path(os.environ.get("DLI_SETTINGS") or ROOT / "dli.toml")


def load() -> Settings:
    """Read settings. Raises SettingsError naming each wrong key, its value and what is allowed."""
    _refuse_unknown_environment()
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("", [_problem(found) for found in error.errors()]) from None
    except ValueError as error:  # unreadable TOML, unreadable value in the environment
        raise SettingsError(f"{settings_file()}: {error}") from None


def environment(settings: Settings) -> dict[str, str]:
    """Environment variables under which another process loads exactly these settings."""
    import json

    flat: dict[str, str] = {"DLI_SETTINGS": str(settings_file())}
    for key, value in settings.model_dump(mode="json").items():
        if isinstance(value, dict):
            for name, item in value.items():
                text = item if isinstance(item, str) else json.dumps(item)
                flat[f"DLI_{key}__{name}".upper()] = text
        else:
            flat[f"DLI_{key}".upper()] = str(value)
    return flat


def _refuse_unknown_environment() -> None:
    """Every variable like ``DLI_X__Y`` must be a setting; others may be a lab's own (DLI_LANG)."""
    known = {f"DLI_{section}__{key}".upper() for section in _SECTIONS for key in _names((section,))}
    wrong = [k for k in sorted(os.environ) if re.match("DLI_[A-Z0-9_]+__", k) and k not in known]
    if wrong:
        raise SettingsError("", [_unknown(name, os.environ[name], _path(name)) for name in wrong])


def _path(variable: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in variable.removeprefix("DLI_").split("__"))


def _problem(found: Any) -> Problem:
    path = tuple(str(part) for part in found["loc"])
    name = ".".join(path) or "settings"
    if found["type"] == "extra_forbidden":
        return _unknown(name, found["input"], path)
    limits = found.get("ctx", {})
    return Problem(name, _shown(found["input"]), found["type"], limits, found["msg"])


def _shown(value: object) -> str:
    """The value without the password of an address in it."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:…@", repr(value))


_SECTIONS = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
}


def _names(section: tuple[str, ...]) -> list[str]:
    """The settings in a section; the sections and the settings outside of one for ()."""
    if not section:
        return list(Settings.model_fields)
    found = _SECTIONS.get(section[0])
    return list(found.model_fields) if found else []


def _unknown(name: str, value: object, path: tuple[str, ...]) -> Problem:
    """Nothing is called `path`: says what is there instead, the likeliest first."""
    section, word = (path[:1], path[1]) if path[0] in _SECTIONS and path[1:] else ((), path[0])
    names = _names(section)
    likely = "".join(difflib.get_close_matches(word, names, 1))
    where = f"in [{section[0]}]" if section else "at the top"
    meant = f"did you mean {likely}? " if likely else ""
    message = (
        f"unknown setting; {meant}Allowed {where}: {', '.join(names)} (docs/reference/settings.md)"
    )
    limits = {"likely": likely, "section": "".join(section), "names": ", ".join(names)}
    return Problem(name, _shown(value), "extra_forbidden", limits, message)
