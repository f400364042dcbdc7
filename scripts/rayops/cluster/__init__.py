"""What stands between a bare machine and a cluster: engine, tools, node image, kind, operator, pipeline image."""
