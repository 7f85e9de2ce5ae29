import time

held = [bytearray(b"x") * 2**20 for _ in range(300)]
time.sleep(600)
