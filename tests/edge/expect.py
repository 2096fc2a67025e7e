"""Expectations, and what it is that they are about."""


class Failed(Exception):
    """An expectation that did not hold."""


def expect(what, found, *wanted):
    """One of `wanted`."""
    if found not in wanted:
        raise Failed(f"{what} is {found!r}, not {' or '.join(map(repr, wanted))}")


class About:
    """Says which request of a case failed."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, (Failed, OSError, ValueError, KeyError, IndexError)):
            raise Failed(f"{self.name}: {error if isinstance(error, Failed) else repr(error)}") from error
