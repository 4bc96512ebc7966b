"""A Flower app: softmax regression on handwritten digits, in plain numpy."""
