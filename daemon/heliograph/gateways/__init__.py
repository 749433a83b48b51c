"""Push gateways as their clients see them: a test of the fallback's, and a relay that is a gateway only."""
