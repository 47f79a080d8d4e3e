"""`make mutants`: mutation testing of what results rest on, and the share of changes that the tests notice.

mutmut changes one thing at a time in the modules that pyproject.toml names (`tool.mutmut`) and runs the tests that
reach it. A change that no test notices survives: either it changes nothing that matters, or a test is missing.
`python -m mutmut show NAME` shows one.
"""

import collections
import os
import subprocess
import sys

from tests.helpers.paths import ROOT

REQUIRED = 0.85
# A change that makes the code run for ever is noticed, too.
NOTICED = ("killed", "timeout")


def table(lines: list[str]) -> tuple[str, float]:
    """A Markdown table by module, and the share of changes noticed, from the lines of `mutmut results`.

    >>> text, share = table(["a.b.x_f__mutmut_1: killed", "a.b.x_f__mutmut_2: survived", "a.c.x_g__mutmut_1: no tests"])
    >>> print(text)
    | module | changes | noticed | % |
    |---|---|---|---|
    | a.b | 2 | 1 | 50.0 |
    | a.c | 1 | 0 | 0.0 |
    | all | 3 | 1 | 33.3 |
    """
    outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for line in lines:
        name, _, outcome = line.strip().partition(": ")
        if outcome:
            outcomes[name.rsplit(".", 1)[0]][outcome] += 1
            outcomes["all"][outcome] += 1
    rows = ["| module | changes | noticed | % |", "|---|---|---|---|"]
    share = 0.0
    for module in [*sorted(outcomes.keys() - {"all"}), "all"]:
        count, noticed = outcomes[module].total(), sum(outcomes[module][outcome] for outcome in NOTICED)
        share = noticed / max(1, count)
        rows.append(f"| {module} | {count:,} | {noticed:,} | {100 * share:.1f} |")
    return "\n".join(rows), share


def main() -> None:
    """Run mutmut, print the table, and exit with status 1 below the required share."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mutmut"]
    subprocess.run([*command, "run"], cwd=ROOT, env=environment, check=True)
    listed = subprocess.run(
        [*command, "results", "--all", "true"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    text, share = table(listed.stdout.splitlines())
    print(text)
    if share < REQUIRED:
        sys.exit(f"fewer than {100 * REQUIRED:.0f} % of the changes were noticed")


if __name__ == "__main__":
    main()
