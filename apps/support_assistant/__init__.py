"""Support tickets answered from the runbooks: what to check, the cause and the repair, each with its section."""
