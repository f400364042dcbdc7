"""Open hostile files: in a process of their own, with bounds on memory, time and what comes back."""
