from paging import page, page_count

ITEMS = ["a", "b", "c", "d", "e"]


def test_page_count():
    assert page_count(ITEMS, 2) == 3
    assert page_count([], 2) == 0


def test_first_page():
    assert page(ITEMS, 1, 2) == ["a", "b"]


def test_last_page_is_short():
    assert page(ITEMS, 3, 2) == ["e"]
