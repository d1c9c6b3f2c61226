"""What the collection costs beside the plain ways of doing the same, measured side by side: python -m tests.bench."""
