"""Thousands of students, each a client with a handful of ratings, learn together how lecturers are rated."""
