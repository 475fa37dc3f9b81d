"""Plan a trip by car."""

from consumption import litres_needed, tank_range


def fuel_cost(km, litres_per_100_km, price_per_litre):
    """What the fuel for a trip costs."""
    return round(litres_needed(km, litres_per_100_km) * price_per_litre, 2)


def needs_refill(km, litres_per_100_km, tank_litres):
    """Whether one full tank is too little for the trip."""
    return km > tank_range(tank_litres, litres_per_100_km)
