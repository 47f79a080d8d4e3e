"""What a piece of work took of the machine: the most memory, and energy where the processor tells it."""

import time
from pathlib import Path

STATUS, CLEAR_REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# What forgets the highest memory of a process (Linux, `man 5 proc`).
FORGET_PEAK = "5"
# RAPL: of Intel's and AMD's processors, whose counters only some users may read.
POWERCAP = Path("/sys/class/powercap")
# Beside processors there may be the whole board, in which they are counted.
PROCESSOR = "package"
# No processor takes more; a counter may overflow once, and not more often.
MOST_WATTS = 500


class MachineMeter:
    """Memory and energy from the moment that it is made.

    Memory is that of the whole process, with what earlier work in it has imported and keeps: of a worker process that
    has done other work before, the peak is higher than that of a fresh one. `start_memory_bytes` tells what there was.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._domains = sorted(file.parent for file in powercap.glob("intel-rapl:*/name") if _is_processor(file))
        self._before, self._since = self._energies(), time.monotonic()
        self._start_memory = _memory("VmRSS:")
        try:
            CLEAR_REFERENCES.write_text(FORGET_PEAK, encoding="ascii")
            self._tells_peak = True
        except OSError:
            self._tells_peak = False

    def facts(self) -> dict[str, float]:
        """What is known of the memory of this process, `peak_memory_bytes` and, when the meter was made,
        `start_memory_bytes`; and `joules` of the processor with all that ran on it.
        """
        facts = {}
        if self._tells_peak and (peak := peak_memory()) is not None:
            facts["peak_memory_bytes"] = float(peak)
            if self._start_memory is not None:
                facts["start_memory_bytes"] = float(self._start_memory)
        now = self._energies()
        most = MOST_WATTS * 1e6 * (time.monotonic() - self._since)
        if now and len(now) == len(self._before) and most < min(largest for _, largest in now):
            # A counter that has overflowed begins at 0 again.
            facts["joules"] = sum(
                (after - before) % (largest + 1) / 1e6
                for (before, largest), (after, _) in zip(self._before, now, strict=True)
            )
        return facts

    def _energies(self) -> list[tuple[int, int]]:
        """Microjoules of each processor, and the largest number its counter holds; empty if they cannot be read."""
        try:
            return [
                (int((folder / "energy_uj").read_text()), int((folder / "max_energy_range_uj").read_text()))
                for folder in self._domains
            ]
        except (OSError, ValueError):
            return []


def _is_processor(name_file: Path) -> bool:
    try:
        return name_file.read_text(encoding="ascii").startswith(PROCESSOR)
    except (OSError, ValueError):
        return False


def peak_memory() -> int | None:
    """The most memory that this process has had, in bytes, since it was last forgotten; None off Linux."""
    return _memory("VmHWM:")


def _memory(name: str) -> int | None:
    """An amount of memory that the kernel tells of this process, in bytes; None off Linux."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name)), None)
