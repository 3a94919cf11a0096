"""The service: recognition over HTTP, for other programs and for a page."""
