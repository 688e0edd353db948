"""Numbers within addresses: `{name:number}` in a route is a whole number that a database column can hold.

Starlette's own `int` takes any count of digits, which neither Python nor SQLite does.
"""

from starlette.convertors import Convertor, register_url_convertor


class NumberConvertor(Convertor[int]):
    """One to eighteen digits."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """The number that the digits say."""
        return int(value)

    def to_string(self, value: int) -> str:
        """The digits again."""
        return str(value)


def register() -> None:
    """Make `number` known; before the first route is made."""
    register_url_convertor("number", NumberConvertor())
