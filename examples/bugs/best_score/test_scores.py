from scores import add_points, winner


def test_points_add_up():
    board = {}
    add_points(board, "ann", 3)
    add_points(board, "ann", 4)
    assert board == {"ann": 7}


def test_nobody_has_played():
    assert winner({}) is None


def test_winner_has_most_points():
    assert winner({"ann": 7, "bob": 9, "cy": 2}) == "bob"
