"""Turn titles into addresses."""


def clean(title):
    """Lower case, with everything but letters, digits and spaces left out."""
    return "".join(char for char in title.lower() if char.isalnum() or char == " ")


def slug(title, separator="_"):
    """The words of a title, joined."""
    return separator.join(clean(title).split())


def address(title):
    """Where an article with this title lives."""
    return "/articles/" + slug(title)
