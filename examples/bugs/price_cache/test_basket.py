from basket import Basket
from catalog import Catalog


def test_total():
    catalog = Catalog()
    catalog.set_price("tea", 500)
    basket = Basket(catalog)
    basket.add("tea", 2)
    basket.add("tea")
    assert basket.total() == 1800


def test_total_after_price_change():
    catalog = Catalog()
    catalog.set_price("tea", 500)
    basket = Basket(catalog)
    basket.add("tea")
    assert basket.total() == 600
    catalog.set_price("tea", 1000)
    assert basket.total() == 1200
