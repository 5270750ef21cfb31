"""The pages of targets, recommendations and changes: parse, call one function, answer."""
