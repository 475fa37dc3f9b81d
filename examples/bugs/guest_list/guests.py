"""Who may come to the party."""


def read_guests(text):
    """One name a line; empty lines are left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_invited(name, guests):
    """Whether a name, as somebody typed it, is on the list."""
    return name in guests


def greeting(name, guests):
    """What the door says."""
    if is_invited(name, guests):
        return "Welcome!"
    return "Sorry."
