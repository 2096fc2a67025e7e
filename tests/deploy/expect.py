"""Expectations, and how the cases are counted."""

import time


class Failed(Exception):
    """An expectation that did not hold."""


class Refused(Exception):
    """The kernel, or this user's rights, do not allow it: nothing that the project could fail at."""


def expect(what, found, *wanted):
    """One of `wanted`."""
    if found not in wanted:
        raise Failed(f"{what} is {found!r}, not {' or '.join(map(repr, wanted))}")


def holds(what, condition):
    """True."""
    if not condition:
        raise Failed(f"not so: {what}")


def until(what, condition, limit):
    """Waits for `condition`, `limit` seconds at most. Returns what it returned, and the seconds that it took."""
    begun = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - begun > limit:
            raise Failed(f"not within {limit} s: {what}")
        time.sleep(0.02)
    return found, time.monotonic() - begun


class Cases:
    """Runs cases, and counts."""

    def __init__(self):
        self.passed = self.failed = 0

    def case(self, name, run):
        """One case; a failure does not stop the others."""
        begun = time.monotonic()
        try:
            note = run()
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001: whatever it is, the case has failed
            self.failed += 1
            print(f"FAILED {name}: {error if isinstance(error, Failed) else repr(error)}", flush=True)
        else:
            self.passed += 1
            print(f"ok     {name}{f': {note}' if note else ''} ({time.monotonic() - begun:.1f} s)", flush=True)
