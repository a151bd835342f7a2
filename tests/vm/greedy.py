# Takes what the file `mode` says: memory, processes, processor time or the disk, and tells how much it got.
import os, time

mode = open("mode").read().strip()
if mode == "memory":
    held = bytearray(200 << 20)
    held[:: 4096] = b"x" * len(held[:: 4096])
    print("took 200 MiB", flush=True)
elif mode == "processes":
    made = 0
    try:
        for _ in range(60):
            if os.fork() == 0:
                time.sleep(4)
                os._exit(0)
            made += 1
        print("took all", flush=True)
    except OSError:
        print("refused after", made, flush=True)
elif mode == "cpu":
    begun, used = time.time(), time.process_time()
    while time.time() - begun < 5:
        pass
    print("share", int(100 * (time.process_time() - used) / (time.time() - begun)), flush=True)
elif mode == "io":
    begun = time.time()
    # Past the cache, where the rate holds; the guest's Python has no memory that is aligned for it.
    os.system("dd if=/dev/zero of=written bs=1M count=8 oflag=direct 2>/dev/null")
    print("tenths", int(10 * (time.time() - begun)), flush=True)
