"""The smallest pipeline: text in, its normal form, size and language out. Copy it to make one."""
