"""A phone network that is simulated: no phone rings. It stands behind a socket, as a switch would."""
