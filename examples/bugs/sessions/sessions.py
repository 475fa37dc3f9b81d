"""Sessions of logged-in users: a dictionary from user to the time of the last click."""

LIFETIME = 600


def touch(sessions, user, now):
    """Note that a user has just clicked."""
    sessions[user] = now


def is_expired(last_click, now):
    """Whether a session has been idle for longer than it lives."""
    return now - last_click > LIFETIME


def clean_up(sessions, now):
    """Remove the expired sessions and return how many they were."""
    removed = 0
    for user in sessions:
        if is_expired(sessions[user], now):
            del sessions[user]
            removed += 1
    return removed
