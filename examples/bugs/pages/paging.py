"""Cut a list of articles into numbered pages. The first page is page 1."""


def page(items, number, size):
    """The items on one page."""
    start = number * size
    return items[start : start + size]


def page_count(items, size):
    """How many pages the items fill; the last may be partly empty."""
    return (len(items) + size - 1) // size
