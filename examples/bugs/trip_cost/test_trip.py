from trip import fuel_cost, needs_refill


def test_refill():
    assert needs_refill(900, 6, 50)
    assert not needs_refill(800, 6, 50)


def test_fuel_cost_of_100_km():
    assert fuel_cost(100, 5, 2) == 10


def test_fuel_cost_of_long_trip():
    assert fuel_cost(650, 6, 1.5) == 58.5
