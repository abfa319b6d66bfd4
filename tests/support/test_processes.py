"""What a process says is heard, and also when it hangs or dies."""

from __future__ import annotations

import sys

import pytest

from tests.support.processes import listen


def test_a_process_that_hangs_or_dies_is_noticed() -> None:
    hangs = 'import time; print(\'{"begun": "x"}\', flush=True); time.sleep(60)'
    with pytest.raises(AssertionError, match="hangs at x"):
        list(listen([sys.executable, "-c", hangs], silence_seconds=1.0))
    dies = 'import os; print(\'{"begun": "x"}\', flush=True); '
    with pytest.raises(AssertionError, match=r"died at x \(exit 3\)"):
        list(listen([sys.executable, "-c", dies + "os._exit(3)"]))
    with pytest.raises(AssertionError, match=r"died at x \(SIGABRT\)|exit"):
        list(listen([sys.executable, "-c", dies + "os.abort()"]))
