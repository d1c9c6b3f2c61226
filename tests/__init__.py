"""The project's tests and what they run against."""
