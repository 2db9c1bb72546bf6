"""A score as text: never without its interval and the doctrine that weighs it.

`Score` is the only thing that text about a score is made of. It has no conversion to a number, no order and no arithmetic, so that no
line of ours can print, compare or rank a bare score by accident; whoever wants to compute reads the tables, where the interval stands in
the same row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greyzone.errors import InputError

INSUFFICIENT = "insufficient evidence"
NOT_ROBUST = "not robust"


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A score from 0 to 100 with its 90 % interval and its doctrine; without points it says that the evidence does not suffice.

    Parameters
    ----------
    points
        5, 50 and 95 % points in rising order, or None.
    doctrine
        Name, version and hash of the doctrine, as a reader sees them.
    status
        "ok", "not robust" or "insufficient evidence".

    Raises
    ------
    InputError
        If the points fall, lie outside 0..100 or stand beside "insufficient evidence", or the doctrine is not named.
    """

    points: tuple[float, float, float] | None
    doctrine: str
    status: str = "ok"

    def __post_init__(self) -> None:
        if not self.doctrine.strip():
            raise InputError("a score without its doctrine", "the name, version and hash of a doctrine")
        if (self.points is None) != (self.status == INSUFFICIENT):
            raise InputError(f"a score with points {self.points} and status {self.status!r}", "points, or insufficient evidence")
        if self.points is not None:
            low, middle, high = self.points
            if not 0 <= low <= middle <= high <= 100:
                raise InputError(f"score points {self.points}", "5, 50 and 95 % points from 0 to 100, rising")

    @classmethod
    def of_row(cls, row: Mapping[str, object]) -> Score:
        """Return the score of a row of the table `impact` or `views`."""
        points = [row.get(f"score_{point}") for point in ("p05", "p50", "p95")]
        known = None if None in points else tuple(float(str(point)) for point in points)
        name, digest = str(row["doctrine"]), row.get("doctrine_hash")
        return cls(known, f"{name} {digest}" if digest else name, str(row["status"]))  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.points is None:
            return f"{INSUFFICIENT} (doctrine {self.doctrine})"
        low, middle, high = self.points
        stamp = "" if self.status == "ok" else f", {self.status.upper()}"
        return f"{middle:.0f} (90 % interval {low:.0f}–{high:.0f}, doctrine {self.doctrine}{stamp})"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        if spec not in ("", "s"):
            raise TypeError(f"a score has no format {spec!r}: it is printed with its interval and doctrine")
        return str(self)
