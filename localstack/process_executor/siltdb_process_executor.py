"""Lets LocalStack run Lambda functions as processes of this machine, without a container engine.

LocalStack asks an executor for one execution environment at a time: start it, put one event through it
after another, stop it. Here an environment is the unzipped `bootstrap` as a child process, and a small
server of the Lambda Runtime API on a port of its own, which the child asks for events.

As on AWS: a process that overruns the function's time is killed, one that died is started anew for the
next event, and events that overlap get environments of their own. Unlike AWS: a streamed answer is
gathered, because LocalStack's function URLs know no other, and nothing limits memory or CPU.

Written for localstack-core 2026.3.0 and functions of the runtimes provided.*.
"""

import base64
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

# What AWS gives a function from its start to the first question for an event.
START_SECONDS = 10
# What a process has between the request to end and the end.
STOP_SECONDS = 2
STREAMED_ANSWER = "application/vnd.awslambda.http-integration-response"


class ProcessPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args, **kwargs):
        return ProcessExecutor


class Died(Exception):
    """The process ended where an answer was expected."""


class Exchange:
    """One event and, sooner or later, what became of it."""

    def __init__(self, invocation, seconds):
        self.request_id = invocation["invoke-id"]
        self.function_arn = invocation["invoked-function-arn"]
        self.trace_id = invocation.get("trace-id") or ""
        event = invocation["payload"]
        self.event = event if isinstance(event, bytes) else event.encode()
        self.seconds = seconds
        self.deadline = time.time() + seconds
        self.answer = Future()  # (body, whether it is an error)

    def headers(self):
        return {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(self.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
        }


class RuntimeApi(ThreadingHTTPServer):
    """The Runtime API for one process, which has one event at a time."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RuntimeApiHandler)
        self.events = queue.SimpleQueue()
        self.started = Future()
        self.lock = threading.Lock()
        self.current = self.failure = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def offer(self, exchange):
        """Puts an event before the process, or fails it if there is none any more."""
        with self.lock:
            self.current = exchange
            if self.failure is not None:
                raise self.failure
        self.events.put(exchange)

    def next_event(self):
        """The next exchange, or None when there will be no more."""
        if not self.started.done():
            self.started.set_result(None)
        return self.events.get()

    def fail(self, failure):
        """Ends whatever is waited for."""
        with self.lock:
            self.failure = failure
            waiting = [self.started] + ([self.current.answer] if self.current else [])
        for future in waiting:
            if not future.done():
                future.set_exception(failure)

    def close(self):
        self.events.put(None)
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a process that was killed leaves its connection half open


class RuntimeApiHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else each event waits for an acknowledgement of the one before, 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self):
        if not self.path.endswith("/runtime/invocation/next"):
            return self.respond(404)
        exchange = self.server.next_event()
        if exchange is None:
            return self.respond(410)
        self.respond(200, exchange.event, exchange.headers())

    def do_POST(self):
        body, trailers = self.read_body()
        *_, subject, what = self.path.split("/")
        if (subject, what) == ("init", "error"):
            self.respond(202)
            return self.server.fail(Died(f"its start failed: {body.decode(errors='replace')}"))
        exchange = self.server.current
        if exchange is None or exchange.request_id != subject:
            return self.respond(400)
        self.respond(202)
        failed = what == "error" or "lambda-runtime-function-error-type" in trailers
        if not failed and self.headers.get("Content-Type", "").startswith(STREAMED_ANSWER):
            body = gathered(body)
        if not exchange.answer.done():
            exchange.answer.set_result((body, failed))

    def read_body(self):
        """The body and the trailers behind it."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", 0))), {}
        chunks, trailers = [], {}
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            trailers[name.lower()] = value.strip()
        return b"".join(chunks), trailers

    def respond(self, status, body=b"{}", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class ProcessExecutor(RuntimeExecutor):
    """One execution environment."""

    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.environment = {}
        self.process = self.api = None
        self.log = tempfile.NamedTemporaryFile(mode="ab", buffering=0)

    def start(self, env_vars):
        self.environment = {name: str(value) for name, value in env_vars.items()}
        self.begin()

    def stop(self):
        self.end(STOP_SECONDS)

    def invoke(self, payload):
        seen = os.path.getsize(self.log.name)
        exchange = Exchange(payload, self.function_version.config.timeout)
        body, failed = self.put_through(exchange)
        return InvocationResult(exchange.request_id, body, is_error=failed, logs=self.read_log(seen))

    def put_through(self, exchange):
        try:
            if self.process is None or self.process.poll() is not None:
                self.end(0)
                self.begin()
            self.api.offer(exchange)
            return exchange.answer.result(timeout=exchange.seconds)
        except TimeoutError:
            self.end(0)
            why = "Sandbox.Timedout", f"Task timed out after {exchange.seconds:.2f} seconds"
        except Died as died:
            self.end(0)
            why = "Runtime.ExitError", str(died)
        message = f"RequestId: {exchange.request_id} Error: {why[1]}"
        return json.dumps({"errorType": why[0], "errorMessage": message}).encode(), True

    def begin(self):
        """Starts the process and waits until it asks for its first event."""
        folder = str(self.function_version.config.code.get_unzipped_code_location())
        program = os.path.join(folder, "bootstrap")
        if not os.path.isfile(program):
            raise Died(f"there is no bootstrap in {folder}")
        os.chmod(program, 0o755)
        api = RuntimeApi()
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": tempfile.gettempdir(),
            **self.environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
            "LAMBDA_TASK_ROOT": folder,
        }
        self.api = api
        # A session of its own, so that what the process starts can be ended with it.
        self.process = subprocess.Popen(
            [program],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=watch, args=(self.process, api), daemon=True).start()
        try:
            api.started.result(timeout=START_SECONDS)
        except TimeoutError:
            self.end(0)
            raise Died(f"it asked for no event within {START_SECONDS} s") from None
        except Died as died:
            self.end(0)
            raise Died(f"{died}: {self.get_logs()[-500:]}") from None

    def end(self, patience):
        """Ends the process and all that it started."""
        process, api = self.process, self.api
        self.process = self.api = None
        if process is not None:
            if patience and send(process, signal.SIGTERM):
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    pass
            send(process, signal.SIGKILL)
            process.wait()
        if api is not None:
            api.close()

    def read_log(self, start):
        with open(self.log.name, "rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def get_logs(self):
        return self.read_log(0)

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"  # from this and its port LocalStack makes the function's AWS_ENDPOINT_URL

    def get_runtime_endpoint(self):
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    @classmethod
    def prepare_version(cls, function_version):
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        pass  # the unzipped code is LocalStack's, which removes it with the function


def watch(process, api):
    """Tells whoever waits for an answer that the process has ended."""
    status = process.wait()
    api.fail(Died(f"Runtime exited with status {status}"))


def send(process, what):
    """Sends a signal to a process and its children; false if there is none left."""
    try:
        os.killpg(process.pid, what)
        return True
    except ProcessLookupError:
        return False


def gathered(stream):
    """Of a streamed answer (head as JSON, eight zero bytes, body) the answer in one piece."""
    head, _, body = stream.partition(bytes(8))
    return json.dumps(
        {**json.loads(head), "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    ).encode()
