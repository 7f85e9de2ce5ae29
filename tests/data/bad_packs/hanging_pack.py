import ctypes

# Waits in C, and nobody else may have the interpreter meanwhile.
ctypes.PyDLL(None).sleep(600)
