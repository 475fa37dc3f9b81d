from checkout import apply_discount, order_total, subtotal


def test_without_discount():
    assert subtotal([(10, 2), (5, 1)]) == 25
    assert order_total([(10, 2), (5, 1)]) == 25


def test_ten_percent_off():
    assert apply_discount(50, 10) == 45


def test_half_price_order():
    assert order_total([(10, 2), (5, 4)], 50) == 20
