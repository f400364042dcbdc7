"""Named entities: rules for what has a form, an encoder for what has a meaning."""
