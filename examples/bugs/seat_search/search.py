"""Search in sorted lists."""


def find(numbers, wanted):
    """The index of a number in a sorted list, or -1 if it isn't there."""
    low = 0
    high = len(numbers) - 1
    while low < high:
        middle = (low + high) // 2
        if numbers[middle] == wanted:
            return middle
        if numbers[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1
