from sessions import clean_up, touch


def test_nothing_to_clean_up():
    sessions = {}
    touch(sessions, "ann", 1000)
    assert clean_up(sessions, 1100) == 0
    assert sessions == {"ann": 1000}


def test_expired_sessions_go():
    sessions = {"ann": 100, "bob": 900, "cy": 200}
    assert clean_up(sessions, 1000) == 2
    assert sessions == {"bob": 900}
