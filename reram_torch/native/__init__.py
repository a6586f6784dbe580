"""The C libraries: found, loaded, one thin function each. Nothing else knows ctypes."""
