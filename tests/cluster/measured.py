"""What the tests of this package measured, for the table at the end of a run."""

from dataclasses import dataclass, field


@dataclass
class Measured:
    """Rows of the table, in the order in which they came."""

    rows: list[tuple[str, str]] = field(default_factory=list)

    def note(self, what: str, found: str) -> None:
        """Add a row."""
        self.rows.append((what, found))

    def lines(self) -> list[str]:
        """The table."""
        width = max((len(what) for what, _ in self.rows), default=0)
        return [f"{what.ljust(width)}  {found}" for what, found in self.rows]


MEASURED = Measured()
"""Of this run."""
