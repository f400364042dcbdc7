"""Embeddings of whole folders and Parquet files with Ray Data, in shards that are never made twice.

`rows` reads the input, `plan` cuts it into shards by content, `shard` makes one, `output` keeps what is done, `run`
brings them together, `__main__` is the command line.
"""
