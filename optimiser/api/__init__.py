"""The API of targets, recommendations and changes: parses, calls one function, answers."""
