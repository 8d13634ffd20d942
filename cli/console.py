"""Where the command writes: results to standard output, progress of scripts and errors beside it.

Words are printed as they are: Rich's markup is off, since `[site]` or a person's name is no style.
"""

from __future__ import annotations

import sys

from rich.console import Console

# A log is wider than the 80 columns that Rich assumes without a terminal.
_WIDTH = None if sys.stdout.isatty() else 120

out = Console(width=_WIDTH, markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)
