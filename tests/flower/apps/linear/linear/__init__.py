"""Logistic regression by scikit-learn, as Flower's quickstart has it, on flowers."""
