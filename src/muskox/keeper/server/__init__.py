"""The shell around the machine: sockets, the log's process, timers and signals. What is decided is decided in the machine."""
