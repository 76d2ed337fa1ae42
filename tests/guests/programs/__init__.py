"""Small C programs that compute in a guest: built on the host, sent over the console, run there."""
