"""Logistic regression by scikit-learn, on clients that know a few digits each."""
