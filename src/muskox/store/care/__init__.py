"""What keeps it alive: repair, drains, collection, and what must not be collected."""
