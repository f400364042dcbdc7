"""AI pipelines that Ray Serve runs: one package per pipeline, shared parts in `apps.common`."""
