"""`python3 join.py SOCKET`, run with a terminal: hands it to the function that waits at the socket."""

import json
import os
import signal
import socket
import sys


def main() -> int:
    for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    # Ctrl-\: the way out where the code hears no Ctrl-C.
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(128 + signal.SIGQUIT))
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(sys.argv[1])
        socket.send_fds(peer, [json.dumps({"term": os.environ.get("TERM", "dumb")}).encode()], [0])
        pid = int(peer.recv(32))
        for number in (signal.SIGINT, signal.SIGWINCH):
            signal.signal(number, lambda number, _: os.kill(pid, number))
        # Its end is the end of the connection, in whatever way.
        while peer.recv(32):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
