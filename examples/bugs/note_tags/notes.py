"""Notes with tags."""

NO_TAGS = []


def new_note(text, tags=NO_TAGS):
    """A note with its text and a list of tags."""
    return {"text": text, "tags": tags}


def tag(note, word):
    """Add a tag to a note, unless it is there already."""
    if word not in note["tags"]:
        note["tags"].append(word)


def tagged(notes, word):
    """The texts of the notes with this tag."""
    return [note["text"] for note in notes if word in note["tags"]]
