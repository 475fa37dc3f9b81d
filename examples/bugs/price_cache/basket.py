"""A basket of products from a catalog."""


class Basket:
    """Products and how many of each."""

    def __init__(self, catalog):
        self.catalog = catalog
        self.quantities = {}

    def add(self, product, quantity=1):
        """Put some of a product into the basket."""
        self.quantities[product] = self.quantities.get(product, 0) + quantity

    def total(self):
        """What the basket costs with tax, in cents."""
        return sum(self.catalog.price(product) * quantity for product, quantity in self.quantities.items())
