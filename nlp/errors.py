"""Every exception that greyzone raises on purpose, in one tree.

A message is one line: what was found, what was expected, what to do about it. The command line prints it and leaves with
``exit_code``: 2 for input that the user can mend, 1 for a failure that is ours or the machine's.
"""

from __future__ import annotations

import errno

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the machine answers where a disk, a quota or the largest size of a file is reached."""


class GreyzoneError(Exception):
    """Base of all errors raised by greyzone.

    Parameters
    ----------
    found
        What was met, with the value.
    expected
        What would have been right.
    remedy
        What the reader can do.
    """

    exit_code = 1

    def __init__(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.found = found
        self.expected = expected
        self.remedy = remedy
        parts = [found, f"expected {expected}" if expected else "", remedy]
        super().__init__("; ".join(" ".join(part.split()) for part in parts if part))


class InputError(GreyzoneError, ValueError):
    """Input that cannot be used as it is: a file, a table, an argument."""

    exit_code = 2


class EmptyFileError(InputError):
    """A file without a single byte of content."""


class SchemaError(InputError):
    """A table whose columns or types are not the declared ones."""


class DoctrineError(InputError):
    """A doctrine file that is incomplete, out of range or unsourced."""


class CaseError(InputError):
    """A case folder that cannot be read, written or resumed."""


class EncoderError(InputError):
    """An encoder that cannot be found or loaded."""


class StorageError(GreyzoneError, OSError):
    """The machine refused to store a result (full disk, no permission)."""
