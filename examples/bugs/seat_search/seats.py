"""Which seats of a train are free."""

from search import find


def is_free(free_seats, seat):
    """Whether a seat is among the free ones, which are sorted."""
    return find(free_seats, seat) >= 0


def book(free_seats, seat):
    """The seats that are free after this one was booked."""
    if not is_free(free_seats, seat):
        raise ValueError(f"seat {seat} is taken")
    return [free for free in free_seats if free != seat]
