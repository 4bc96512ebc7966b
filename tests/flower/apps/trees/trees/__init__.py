"""Trees by XGBoost, bagged as Flower's quickstart has it, on tumours."""
