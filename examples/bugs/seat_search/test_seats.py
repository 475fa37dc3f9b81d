from seats import book, is_free


def test_middle_seat():
    assert is_free([2, 5, 9], 5)


def test_taken_seat():
    assert not is_free([2, 5, 9], 4)


def test_last_seat():
    assert is_free([2, 5, 9], 9)


def test_book_only_seat():
    assert book([7], 7) == []
