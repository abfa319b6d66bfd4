"""The stand-in gateway: the documented contract over real HTTP on loopback, with real MP4s and faults on request."""
