from ratings import average, label


def test_no_ratings():
    assert average([]) == 0
    assert label([]) == "0.0 stars (0)"


def test_average_between_two_stars():
    assert average([4, 5]) == 4.5


def test_label():
    assert label([3, 4, 4, 4]) == "3.8 stars (4)"
