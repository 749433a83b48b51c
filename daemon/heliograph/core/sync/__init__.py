"""From a sync to its plan: what is read, what is judged, what is needed for it."""
