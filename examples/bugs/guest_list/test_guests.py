from guests import greeting, is_invited, read_guests

GUESTS = ["Ann Lee", "Bob Ray"]


def test_read_guests():
    assert read_guests("Ann Lee \n\n Bob Ray\n") == GUESTS


def test_stranger():
    assert greeting("Cy Moe", GUESTS) == "Sorry."


def test_capitals():
    assert is_invited("ann LEE", GUESTS)


def test_spaces():
    assert greeting(" Bob Ray ", GUESTS) == "Welcome!"
