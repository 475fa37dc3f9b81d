"""Film ratings, from 1 to 5 stars."""


def average(ratings):
    """The mean rating, or 0 if there are none."""
    if not ratings:
        return 0
    return sum(ratings) // len(ratings)


def label(ratings):
    """What is shown below a film."""
    return f"{average(ratings):.1f} stars ({len(ratings)})"
