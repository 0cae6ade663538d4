"""The machine: devices, memory, progress."""
