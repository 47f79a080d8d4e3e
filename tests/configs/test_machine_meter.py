"""Memory is the most since the meter was made; energy is what the counters tell, overflow included."""

import sys

import numpy as np
import pytest

from configs.machine_meter import MachineMeter

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@on_linux
def test_memory_is_the_most_since_the_meter_was_made(tmp_path):
    before = np.ones(60_000_000)
    del before
    meter = MachineMeter(tmp_path)
    low = meter.facts()["peak_memory_bytes"]
    large = np.ones(40_000_000)
    del large
    high = meter.facts()["peak_memory_bytes"]
    assert 300e6 < high - low < 400e6


@on_linux
def test_what_earlier_work_keeps_is_told_as_there_from_the_start(tmp_path):
    kept = np.ones(40_000_000)
    facts = MachineMeter(tmp_path).facts()
    del kept
    later = MachineMeter(tmp_path).facts()
    assert facts["start_memory_bytes"] <= facts["peak_memory_bytes"]
    assert 300e6 < facts["start_memory_bytes"] - later["start_memory_bytes"] < 400e6


def test_energy_is_of_all_processors_and_counters_overflow(tmp_path):
    def write(package: int, energy: int) -> None:
        folder = tmp_path / f"intel-rapl:{package}"
        folder.mkdir(exist_ok=True)
        (folder / "name").write_text(f"package-{package}\n")
        (folder / "energy_uj").write_text(f"{energy}\n")
        (folder / "max_energy_range_uj").write_text("9999999999\n")
        # A part of it, which is counted in it.
        (tmp_path / f"intel-rapl:{package}:0").mkdir(exist_ok=True)

    write(0, 1_000_000)
    write(1, 9_999_000_000)
    meter = MachineMeter(tmp_path)
    write(0, 3_500_000)
    write(1, 500_000)
    (tmp_path / "intel-rapl:2").mkdir()
    (tmp_path / "intel-rapl:2" / "name").write_text("psys\n")
    assert meter.facts()["joules"] == pytest.approx(2.5 + 1.5)
    # A counter that may have overflowed twice tells nothing.
    meter._since -= 3600
    assert "joules" not in meter.facts()
    meter._since += 3600
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert "joules" not in meter.facts()


def test_where_there_are_no_counters_nothing_is_told(tmp_path):
    assert "joules" not in MachineMeter(tmp_path).facts()
