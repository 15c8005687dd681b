#!/usr/bin/env python3
"""listen_exec.py ADDRESS PORT COMMAND...: runs COMMAND with a listening TCP socket in it.

`{fd}` in the arguments becomes the number of the inherited descriptor. For clients that
cannot open a socket themselves, such as the YNL command line client.
"""

import os
import socket
import sys

address, port, *command = sys.argv[1:]
sock = socket.create_server((address, int(port)))
os.set_inheritable(sock.fileno(), True)
command = [word.replace("{fd}", str(sock.fileno())) for word in command]
os.execvp(command[0], command)
