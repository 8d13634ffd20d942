"""What a person agrees to at sign-up: the text, its version, and which items may be refused.

The text is a TOML file (setting `site.consent_file`; without one `core/consent.toml`), in Korean
and English. Each item says what is collected, what for, for how long, and what a refusal means.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.course import Text
from core.settings import Settings

DEFAULT = Path(__file__).with_name("consent.toml")


class ConsentError(ValueError):
    """A consent file that cannot be used: file, place, what is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(_Part):
    """One thing to agree to."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    required: bool
    """Without it there is no account; an optional one may be refused and withdrawn."""
    title: Text
    data: Text
    purpose: Text
    retention: Text
    refusal: Text
    """The right to refuse, and what follows."""


class Consent(_Part):
    """The text as it is now."""

    version: str = Field(min_length=1, max_length=50)
    controller: Text
    """Who collects, and whom to ask."""
    items: Annotated[tuple[Item, ...], Field(min_length=1)]
    sha256: str
    """Of the file: proof of what a version said."""

    @model_validator(mode="after")
    def _usable(self) -> Consent:
        if len({item.id for item in self.items}) != len(self.items):
            raise ValueError("items: each needs an id of its own")
        if not self.required:
            raise ValueError("items: at least one is required")
        return self

    @property
    def required(self) -> tuple[Item, ...]:
        """Items without which there is no account."""
        return tuple(item for item in self.items if item.required)

    @property
    def optional(self) -> tuple[Item, ...]:
        """Items that may be refused and withdrawn."""
        return tuple(item for item in self.items if not item.required)


def load(settings: Settings) -> Consent:
    """The consent text of this platform. Raises ConsentError."""
    return read(Path(settings.site.consent_file) if settings.site.consent_file else DEFAULT)


def read(path: Path) -> Consent:
    """The consent text in `path`. Raises ConsentError naming the file and what is wrong."""
    try:
        content = path.read_bytes()
        data = tomllib.loads(content.decode("utf-8"))
        return Consent(**data, sha256=hashlib.sha256(content).hexdigest())
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(str(part) for part in found["loc"]) or "consent"
        raise ConsentError(f"{path}: {place}: {found['msg']}") from None
    except (OSError, TypeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConsentError(f"{path}: {error}") from None
