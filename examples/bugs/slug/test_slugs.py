from slugs import address, clean, slug


def test_clean():
    assert clean("Hello, World!") == "hello world"


def test_own_separator():
    assert slug("My first post", "+") == "my+first+post"


def test_usual_separator():
    assert slug("My first post") == "my-first-post"


def test_address():
    assert address("What's new?") == "/articles/whats-new"
