from notes import new_note, tag, tagged


def test_tags_are_kept_once():
    note = new_note("buy milk", ["home"])
    tag(note, "home")
    tag(note, "shop")
    assert note["tags"] == ["home", "shop"]


def test_new_note_has_no_tags():
    first = new_note("call bob")
    tag(first, "work")
    assert new_note("read")["tags"] == []


def test_tagged():
    first, second = new_note("one"), new_note("two")
    tag(first, "red")
    assert tagged([first, second], "red") == ["one"]
