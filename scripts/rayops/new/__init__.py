"""New pipelines and environments, made from the ones there are: apps/hello, an environment's overlays.

made = pipeline.make(root, "demo")
"""
