"""The pure machine of the keeper: events and the time go in, actions come out; it never waits, logs or reads a clock."""
