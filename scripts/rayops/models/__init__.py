"""The model registry: apps/gateway/models.yaml, what is checked about it, and what is written from it.

One entry of the catalogue is the source of a model's route in the gateway, of its place in the server's arguments, of
the files that are downloaded for it and of its line in the documentation. Nothing here knows the code of a pipeline:
the shapes of what is written are fixed here, and tests load them through the pipelines' own settings.
"""
