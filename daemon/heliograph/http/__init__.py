"""What clients and servers of HTTP share, whoever talks: requests made once, why one failed, what a listener logs."""
