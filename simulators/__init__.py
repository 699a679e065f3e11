"""The world outside a terminal: voucher host, update server, devices on ports, faults, world."""
