"""One structured line per event, as JSON: what happened and to which lab, lease and person.

Values are escaped by the JSON writer, so a hostile name cannot forge a second line.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from core.clock import now

_LONGEST_VALUE = 500


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": now().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name,
            "event": record.getMessage()[:_LONGEST_VALUE],
            **getattr(record, "dli", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def setup(level: int = logging.INFO) -> None:
    """Send every log line of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def event(logger: logging.Logger, name: str, /, **ids: object) -> None:
    """Log `name` ("lease reserved") with ids such as lease, person, lab. Never pass a secret."""
    short = {
        key: value[:_LONGEST_VALUE] if isinstance(value, str) else value
        for key, value in ids.items()
    }
    logger.info(name, extra={"dli": short})
