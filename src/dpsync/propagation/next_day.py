"""By when somebody should act: a request has three days, and the first one that is not over counts. Pure."""

from datetime import date


def next_day(target_on: date, strict_on: date, due_on: date, today: date) -> date:
    """Our target while it lasts: to decide on the last legal day leaves no time to do it. Then the strict reading, then
    the legal date, which stays when it is over too.
    """
    return next((one for one in (target_on, strict_on) if one >= today), due_on)
