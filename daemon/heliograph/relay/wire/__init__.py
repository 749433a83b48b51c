"""Bodies of the Client-Server API and the Push Gateway API, as the relay reads and writes them."""
