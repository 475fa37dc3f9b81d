from words import count_words, most_frequent, split_words


def test_split_words():
    assert split_words("The cat") == ["the", "cat"]


def test_count_words():
    assert count_words("the cat and The dog") == {"the": 2, "cat": 1, "and": 1, "dog": 1}


def test_most_frequent():
    assert most_frequent("to be or not to be to") == "to"
