"""Prices of products, before and after tax, in cents."""

TAX_PERCENT = 20


class Catalog:
    """Remembers prices with tax once they are worked out."""

    def __init__(self):
        self.prices = {}
        self.with_tax = {}

    def set_price(self, product, cents):
        """Set or change the price before tax."""
        self.prices[product] = cents

    def price(self, product):
        """The price with tax."""
        if product not in self.with_tax:
            self.with_tax[product] = self.prices[product] * (100 + TAX_PERCENT) // 100
        return self.with_tax[product]
