"""Count the words of a text."""


def split_words(text):
    """The words of a text, in lower case."""
    return text.lower().split()


def count_words(text):
    """A dictionary from each word to how often it occurs."""
    counts = {}
    for word in split_words(text):
        counts[word] = counts.get(word, 0) + 1


def most_frequent(text):
    """The word that occurs most often."""
    counts = count_words(text)
    return max(counts, key=counts.get)
