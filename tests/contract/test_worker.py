"""Why every `execute` of ours is shielded. In a file of its own: the host is of no use afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.host.outcomes import WorkerDied

if TYPE_CHECKING:
    from tests.contract.conftest import Host


def test_a_cancellation_that_escapes_a_node_ends_the_prompt_worker(host: Host) -> None:
    prompt = {
        "1": {"class_type": "Probe_Fail", "inputs": {"party": "alone", "size": 1, "how": "cancelled"}},
        "2": {"class_type": "Probe_Report", "inputs": {"value": ["1", 0]}},
    }
    with pytest.raises(WorkerDied, match="Cancelled"):
        host.run(prompt)
