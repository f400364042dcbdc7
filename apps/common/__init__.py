"""Parts that pipelines share: HTTP behaviour, deadlines, model export and embedding."""
