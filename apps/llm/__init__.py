"""The smallest pipeline: text in, its normal form, size and language out."""
