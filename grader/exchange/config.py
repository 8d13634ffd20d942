"""nbgrader's configuration inside a lab. The image's ``nbgrader_config.py`` is these two lines::

from grader.exchange import config
config.apply(get_config())
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def apply(c: Any) -> None:
    """Point nbgrader at the grader service; courses lie below the home folder."""
    home = str(Path.home())
    plugin = "grader.exchange.plugin"
    c.ExchangeFactory.exchange = f"{plugin}.Exchange"
    c.ExchangeFactory.fetch_assignment = f"{plugin}.ExchangeFetchAssignment"
    c.ExchangeFactory.fetch_feedback = f"{plugin}.ExchangeFetchFeedback"
    c.ExchangeFactory.release_assignment = f"{plugin}.ExchangeReleaseAssignment"
    c.ExchangeFactory.release_feedback = f"{plugin}.ExchangeReleaseFeedback"
    c.ExchangeFactory.list = f"{plugin}.ExchangeList"
    c.ExchangeFactory.submit = f"{plugin}.ExchangeSubmit"
    c.ExchangeFactory.collect = f"{plugin}.ExchangeCollect"
    c.Exchange.assignment_dir = home
    c.CourseDirectory.course_id = os.environ.get("DLI_COURSE", "")
    c.CourseDirectory.root = home
