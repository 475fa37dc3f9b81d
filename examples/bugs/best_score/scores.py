"""A score board: a dictionary from player to points."""


def add_points(board, player, points):
    """Give a player some points."""
    board[player] = board.get(player, 0) + points


def winner(board):
    """The player with the most points, or None if nobody has played."""
    best = None
    for player in board:
        if best is None or board[player] < board[best]:
            best = player
    return best
