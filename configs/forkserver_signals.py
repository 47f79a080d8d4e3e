"""Imported by the process that a pool forks its workers from: SIGTERM to the whole group ends these, and not it.

Without it, the pool would take the workers for dead and end before they have saved.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
