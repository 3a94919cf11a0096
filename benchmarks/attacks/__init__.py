"""Attacks on a running service, each bounded in time and memory, on loopback; `attack.py` measures them."""
