"""The update agent: image, trust, server protocol, steps, journal. Knows nothing of payments."""
