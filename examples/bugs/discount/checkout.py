"""Prices at the checkout, in euros."""


def subtotal(lines):
    """The sum of (price, quantity) pairs."""
    return sum(price * quantity for price, quantity in lines)


def apply_discount(amount, percent):
    """The amount after a discount of so many percent."""
    return amount + amount * percent / 100


def order_total(lines, percent=0):
    """What the customer pays for the whole order."""
    return apply_discount(subtotal(lines), percent)
