"""rayops: bring an overlay of this repository to a cluster, and say what a change to it will do.

rayops up --pipeline rag --env local
rayops status
rayops down
"""
