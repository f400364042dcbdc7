"""Sentiment and summary of a text, made side by side; what one of them lacks does not cost the other."""
