"""Drives `cleave link` as a user would: forwarding, faults, traces, and its errors.

    link.py CLEAVE SOURCE_FOLDER WORK_FOLDER
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

cleave, source, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
work.mkdir(parents=True, exist_ok=True)
os.chdir(work)

server = socket.create_server(("127.0.0.1", 0))


def echo():
    while True:
        connection, _ = server.accept()

        def serve(connection=connection):
            try:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()


threading.Thread(target=echo, daemon=True).start()


class Link:
    def __init__(self, *options):
        Path("port").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [cleave, "link", "--to", f"127.0.0.1:{server.getsockname()[1]}", "--listen",
             "127.0.0.1:0", "--port-file", "port", *options],
            stdout=subprocess.PIPE, text=True)
        self.said = self.process.stdout.readline()  # once it listens
        self.port = int(Path("port").read_text())

    def ask(self, data):
        """What comes back through the link until it is as long, or the connection ends."""
        back = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            try:
                connection.sendall(data)
                while len(back) < len(data) and (part := connection.recv(1 << 16)):
                    back += part
            except ConnectionError:
                return None
        return back

    def end(self):
        self.process.send_signal(signal.SIGINT)
        rest = self.process.communicate(timeout=60)[0]
        assert self.process.returncode == 0, self.process.returncode
        return rest


data = bytes(range(256)) * 400

link = Link("--rate", "1gbit", "--delay", "0ms")
assert link.ask(data) == data
assert f"up: {len(data)} bytes, 0 bits flipped" in link.end()

link = Link("--rate", "1gbit", "--delay", "0ms", "--corrupt", "1000", "--corrupt-down", "0",
            "--seed", "7")
wrong = sum(bin(a ^ b).count("1") for a, b in zip(link.ask(data), data))
said = link.end()
assert 50 < wrong < 160, wrong  # 1000 a megabyte: 102
assert f"up: {len(data)} bytes, {wrong} bits flipped" in said, said

link = Link("--rate", "1gbit", "--cut", "10kB")
while link.ask(data) is not None:
    pass
assert "cut)" in link.end()

link = Link("--rate", "1gbit", "--delay", "0ms", "--outage", "0s:1000s")
assert link.ask(data) in (None, b"")
assert "(1 refused, 0 cut), 0 stalls, 1 outages" in link.end()

link = Link("--trace", "wifi", "--repeat")
assert "wifi (600 rows, 300 s, repeated)" in link.said, link.said
assert link.ask(data[:5000]) == data[:5000]
link.end()


def fails(code, words, *options):
    done = subprocess.run([cleave, "link", "--to", "127.0.0.1:1", "--listen", "127.0.0.1:0",
                           *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (options, done)
    assert words in done.stderr, (options, done.stderr)


Path("bad.csv").write_text("time_s,rate,delay\n0,20mbit,5ms\n1,fast,5ms\n")
fails(3, "bad.csv:3: rate: not a rate: 'fast'", "--trace", "./bad.csv")
fails(3, "there are 3g, 4g, 5g, wifi", "--trace", "6g")
fails(3, "no such file", "--trace", "nowhere.csv")
fails(2, "", "--trace", "4g", "--rate", "5mbit")
fails(2, "", "--repeat")
fails(2, "10s:2s", "--outage", "10s")
fails(2, "0.5:200ms", "--stalls", "often")
fails(2, "probability", "--half-open", "2")
fails(2, "rate", "--rate", "0")
fails(2, "flipped bits", "--corrupt", "much")
fails(2, "bytes", "--cut", "5 apples")
