"""An IPython shell that behaves as a notebook's kernel does, without a kernel.

Made once in the zygote. Streams, displays, results, errors, clear_output and updates become
notebook outputs; `%matplotlib inline`, `!command` and top-level await work; input() is refused with
the error that nbclient's kernels give.
"""

from __future__ import annotations

import sys
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Any as AnyTrait
from traitlets import Type
from traitlets.config import Config

from .capture import Capture, Stream

ENVIRONMENT = {
    "PATH": "/opt/lab/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": "/work",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - the fork's own tmpfs
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108
    "IPYTHONDIR": "/tmp/ipython",  # noqa: S108
    # Several forks share the cores; thread pools of a forked parent would hang.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Without a GPU (see zygote.main). Numba reads this at import, before a notebook could say so.
    "NUMBA_ENABLE_CUDASIM": "1",
    "NUMBA_CACHE_DIR": "/tmp/numba",  # noqa: S108
    "TERM": "xterm-color",
}


class _Publisher(DisplayPublisher):  # type: ignore[misc]
    capture = AnyTrait()

    def publish(
        self, data: Any, metadata: Any = None, *, transient: Any = None, update: bool = False,
        **_: Any,
    ) -> None:  # fmt: skip
        """A display, or the update of one."""
        self.capture.drain()
        metadata = metadata or {}
        display_id = (transient or {}).get("display_id")
        if update and display_id:
            self.capture.update(display_id, data, metadata)
        else:
            shown = {"output_type": "display_data", "data": data, "metadata": metadata}
            self.capture.add(shown, display_id)

    def clear_output(self, wait: bool = False) -> None:
        """As in a notebook."""
        self.capture.clear(wait)


class _DisplayHook(DisplayHook):  # type: ignore[misc]
    capture = AnyTrait()
    _data: Any = None

    def start_displayhook(self) -> None:
        """A result is about to be shown."""
        self._data = None

    def write_output_prompt(self) -> None:
        """The front end's."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        """The forms of the result."""
        self._data = (format_dict, md_dict or {})

    def finish_displayhook(self) -> None:
        """Show it."""
        if self._data is not None:
            data, metadata = self._data
            self.capture.drain()
            self.capture.add({"output_type": "execute_result", "data": data, "metadata": metadata,
                              "execution_count": self.capture.count})  # fmt: skip


class LabShell(InteractiveShell):  # type: ignore[misc]
    """See the module."""

    displayhook_class = Type(_DisplayHook)
    display_pub_class = Type(_Publisher)
    capture = AnyTrait()

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        self.capture.drain()
        self.capture.add({"output_type": "error", "ename": str(etype.__name__),
                          "evalue": str(evalue), "traceback": list(stb)})  # fmt: skip

    def system(self, cmd: str) -> None:
        """`!command`: its output lands in the cell through the descriptors."""
        self.system_raw(cmd)

    def enable_gui(self, gui: Any = None) -> None:
        """There is no event loop to join; `%matplotlib inline` asks."""

    def ask_exit(self) -> None:
        """exit() in a notebook ends nothing here."""

    def init_history(self) -> None:
        """In memory only."""
        super().init_history()
        self.history_manager.enabled = False


def _no_input(*_: Any, **__: Any) -> str:
    raise StdinNotImplementedError(
        "raw_input was called, but this frontend does not support input requests."
    )


def make() -> LabShell:
    """The shell, in the zygote."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.cache_size = 1000
    lab: LabShell = LabShell.instance(config=config)
    lab.capture = Capture()
    lab.display_pub.capture = lab.displayhook.capture = lab.capture
    return lab


def warm(lab: LabShell) -> None:
    """Run cells of our own in the zygote, so that forks find loaded what they would each load."""
    lab.capture.begin(1 << 20, 0)
    sources = [
        "1",
        "def f():\n    return [1][3]\nf()",
        "x = (",
        "await __import__('asyncio').sleep(0)",
        "from IPython.display import HTML, display\ndisplay(HTML('<b>1</b>'))",
    ]
    if "numpy" in sys.modules:
        sources.append("import numpy as n\nn.random.seed(0)")  # numpy imports it when first used
    if "matplotlib.pyplot" in sys.modules:
        sources.append("import matplotlib.pyplot as p\np.plot([1]); p.title('a')")
    for source in sources:
        lab.run_cell(source, store_history=True)
    lab.reset(new_session=True)
    lab.capture.begin(0, 0)


def attach(lab: LabShell) -> None:
    """Point the process's streams at the shell's capture, in the fork."""
    import builtins
    import getpass

    sys.stdin = None
    sys.stdout = sys.__stdout__ = Stream(lab.capture, "stdout")  # type: ignore[assignment,misc]
    sys.stderr = sys.__stderr__ = Stream(lab.capture, "stderr")  # type: ignore[assignment,misc]
    builtins.input = _no_input
    getpass.getpass = _no_input
    sys.displayhook = lab.displayhook
