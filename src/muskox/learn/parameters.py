"""Rules for parameters: a number, a whole number, one of a few; a value that breaks one is a CallerError that says the rule."""

import math

from muskox.errors import CallerError


def require_number(name: str, value: object, above: float = -math.inf, most: float = math.inf) -> None:
    """Raise CallerError unless `value` is a finite number greater than `above` (0 or above, if that is just below 0)."""
    good = not isinstance(value, bool) and isinstance(value, int | float) and above < value <= most and math.isfinite(value)
    if not good:
        low = "" if above == -math.inf else " above 0" if above >= 0 else ", 0 or above"
        high = "" if most == math.inf else f", at most {most:g}"
        raise CallerError(f"{name}={value!r}: it must be a finite number{low}{high}")


def require_count(name: str, value: object, least: int = 1) -> None:
    """Raise CallerError unless `value` is a whole number, `least` or above."""
    if isinstance(value, bool) or not (isinstance(value, int) and value >= least):
        raise CallerError(f"{name}={value!r}: it must be a whole number, {least} or above")


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise CallerError unless `value` is one of `choices`."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise CallerError(f"{name}={value!r}: it is one of {', '.join(map(str, choices))}")
