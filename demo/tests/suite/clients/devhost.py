"""devhost.py ADDRESS: uploads as GermainZ' devhost.py does it, and prints how far that is."""

import http.client
import json
import secrets
import sys
import threading
import time

ID = secrets.token_hex(8)


def send(method, path, **what):
    connection = http.client.HTTPConnection(sys.argv[1])
    connection.request(method, path + "?X-Progress-ID=" + ID, **what)
    return connection.getresponse().read()


def show_progress():
    last = None
    while last not in ("done", "error"):
        # Without the parentheses around it, and the semicolon.
        progress = json.loads(send("GET", "/progress").strip()[1:-2].decode())
        state = progress.get("state")
        if state == "uploading":
            print("Progress: {0:.2f}%".format(progress.get("received") / progress.get("size") * 100), flush=True)
        elif state != last:
            print(state, flush=True)
        last = state
        time.sleep(0.05)


progress = threading.Thread(target=show_progress)
progress.start()
head = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
body = head + bytes(10000) + b"\r\n--limit--\r\n"
send("POST", "/upload", body=body, headers={"Content-Type": "multipart/form-data; boundary=limit"})
progress.join()
