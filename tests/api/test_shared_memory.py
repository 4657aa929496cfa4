"""How many pools the C library keeps for the server's threads."""

import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, threading
from studio.api import server
if sys.argv[1] == "shared":
    server.share_memory()
together = threading.Barrier(12)
def work():
    together.wait()
    held = [bytes(1000) for _ in range(1000)]
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for each in threads:
    each.start()
for each in threads:
    each.join()
libc = ctypes.CDLL("libc.so.6")
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into glibc")
@pytest.mark.parametrize(("how", "is_few"), [("shared", True), ("as it is", False)])
def test_threads_share_few_pools(tmp_path, how, is_few):
    told = tmp_path / "pools.xml"
    subprocess.run([sys.executable, "-c", THREADS, how, str(told)], check=True, timeout=60)
    assert (told.read_text().count("<heap nr=") <= 2) is is_few
