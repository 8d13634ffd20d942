"""What a lab counts of its kernels, with a real kernel and nothing but message types read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from dli_lab import counting


def test_only_the_last_minutes_count() -> None:
    tally = counting.Tally()
    for kind, at in (("runs", 0.0), ("runs", 300.0), ("errors", 300.0), ("runs", 599.0)):
        tally.note(kind, at)
    assert tally.totals(600.0) == {"runs": 3, "errors": 1, "checks": 0, "failed_checks": 0}
    assert tally.totals(901.0) == {"runs": 1, "errors": 0, "checks": 0, "failed_checks": 0}


def test_checks() -> None:
    tally = counting.Tally()
    tally.check(True)
    tally.check(False)
    assert tally.totals() == {"runs": 0, "errors": 0, "checks": 2, "failed_checks": 1}


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([b"sig", b'{"msg_type": "execute_input"}', b"{}", b"{}", b'{"code": "secret"}'], "runs"),
        ([b"sig", b'{"msg_type": "error"}'], "errors"),
        ([b"sig", b'{"msg_type": "stream"}'], ""),
        ([b"sig", b"no json"], ""),
        ([b"sig", b'"text"'], ""),
        ([], ""),
    ],
)
def test_only_the_type_of_a_message_is_read(parts: list[bytes], kind: str) -> None:
    assert counting.kind_of(parts) == kind


def test_cells_of_a_real_kernel_are_counted(tmp_path: Path) -> None:
    from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

    async def run() -> dict[str, int]:
        tally = counting.Tally()
        manager: Any = AsyncMappingKernelManager(root_dir=str(tmp_path))
        counting.watch(manager, tally)
        kernel_id = await manager.start_kernel(kernel_name="python3")
        client = manager.get_kernel(kernel_id).client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            for code in ("1 + 1", "1 / 0"):
                client.execute(code)
            for _tenth in range(900):
                if tally.totals()["errors"]:
                    break
                await asyncio.sleep(0.1)
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(kernel_id, now=True)
        return tally.totals()

    found = asyncio.run(run())
    assert (found["runs"], found["errors"]) == (2, 1)
