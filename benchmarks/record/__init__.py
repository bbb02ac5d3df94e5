"""The benchmark of record: strategies on splits whose skew is measured, on tasks that take seconds."""
