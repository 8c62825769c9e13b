"""An S3 server in memory (moto) whose conditional puts are atomic, as those of S3 are.

moto looks whether there is an object and stores its own in two steps, between which another thread may
store. usage: server.py -H ADDRESS -p PORT
"""

import functools
import threading

from moto.s3.responses import S3Response
from moto.server import main

storing = threading.Lock()


def one_at_a_time(method):
    @functools.wraps(method)
    def alone(*arguments, **named):
        with storing:
            return method(*arguments, **named)

    return alone


S3Response.put_object = one_at_a_time(S3Response.put_object)

if __name__ == "__main__":
    main()
