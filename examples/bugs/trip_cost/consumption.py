"""How much fuel a car uses."""


def litres_needed(km, litres_per_100_km):
    """Fuel for a distance."""
    return km * litres_per_100_km


def tank_range(tank_litres, litres_per_100_km):
    """How many km a full tank lasts."""
    return tank_litres / litres_per_100_km * 100
