"""A node on the network: the Flight service, its clients, who may do what."""
