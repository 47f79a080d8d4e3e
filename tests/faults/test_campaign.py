"""The campaign: every fault at full size, which `make faults` runs; the suite leaves it out."""

import os
from collections.abc import Callable, Iterator

import pytest
import torch

from tests.faults.campaign import CAMPAIGN, Fault, Found, table_row, write_table


@pytest.fixture(scope="module")
def record() -> Iterator[Callable[[Fault, Found], None]]:
    """Keeps what was found, and puts it into the table in the end."""
    rows: dict[str, str] = {}

    def keep(fault: Fault, found: Found) -> None:
        rows[fault.name] = table_row(fault, found)

    threads = torch.get_num_threads()
    # What is forked must not inherit a pool of threads.
    torch.set_num_threads(1)
    yield keep
    torch.set_num_threads(threads)
    write_table(rows)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", CAMPAIGN, ids=[fault.name for fault in CAMPAIGN])
def test_the_fault_is_met(fault, record, tmp_path, monkeypatch):
    # No run of the campaign needs anything of the network.
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    found = fault.run(tmp_path)
    record(fault, found)
    assert fault.holds(found), found
