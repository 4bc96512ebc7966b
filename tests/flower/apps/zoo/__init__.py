"""Small Flower apps, none of which knows this package."""
