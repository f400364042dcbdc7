"""Promotion: what was proven in one environment is written into the next one's files. No network but the cluster named.

edits = plan.pipeline_edits(root, "staging", "prod", "rag", digests={})
plan.write(root, edits)
"""
