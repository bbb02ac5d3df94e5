"""Logistic regression with scikit-learn, on clients that hold a few digits each."""
