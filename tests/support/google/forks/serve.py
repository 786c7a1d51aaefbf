"""gcloud, loaded once, and forked for each call.

gcloud's own launcher starts this in the place of its lib/gcloud.py (CLOUDSDK_PYTHON_ARGS), with the
interpreter and the environment that it chooses. Standard input is the socket on which call.py asks. Each
call runs main() of lib/gcloud.py in a separate process; its modules are loaded here before the
next one. Ends with the process that started it, whose number is the only argument.
"""

import atexit
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
import threading
import traceback


def load(path):
    """lib/gcloud.py as a module, with the search path that it makes."""
    sys.path[0] = os.path.dirname(path)
    spec = importlib.util.spec_from_file_location("gcloud", path)
    gcloud = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gcloud)
    sys.path = gcloud.reorder_sys_path(sys.path)
    return gcloud


def of_launcher():
    """The variables that the launcher adds to the environment, without those of this server."""
    added = {name: value for name, value in os.environ.items() if name.startswith(("CLOUDSDK_", "PYTHON"))}
    added["CLOUDSDK_PYTHON_ARGS"] = added["CLOUDSDK_PYTHON_ARGS"].replace(__file__, "").strip()
    return added


def receive(caller):
    """The message of call.py: a line of JSON, and its files. The next event is the caller's end, which
    may also come in the middle: then there is no request."""
    request, files, _, _ = socket.recv_fds(caller, 1 << 16, 3)
    more = request
    while more and not request.endswith(b"\n"):
        more = caller.recv(1 << 16)
        request += more
    return json.loads(request) if more else None, files


def become(request, files, launcher):
    """Takes over the caller's files, environment, folder and arguments."""
    # A separate group, so that serve() can end every process that gcloud starts.
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"] | launcher)
    sys.argv[1:] = request["arguments"]


def end(child, told, caller):
    """Sends the exit code of a finished child to its caller. Returns the child's message."""
    with open(told) as told:
        names = told.read().split()
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        caller.send(str(os.waitstatus_to_exitcode(status)).encode())
    return names


def serve(listener, parent):
    """Returns in each child once it has taken over the call, with a pipe to report loaded modules; and in
    this process, with None, once its parent is gone."""
    launcher = of_launcher()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while os.getppid() == parent:
        # One at a time, for each may be the end of another.
        for key, _ in selector.select(timeout=1)[:1]:
            if key.fileobj is listener:
                caller, _ = listener.accept()
                request, files = receive(caller)
                if request is None:
                    for file in files:
                        os.close(file)
                    caller.close()
                    continue
                told, tell = os.pipe()
                child = os.fork()
                if child == 0:
                    listener.close()
                    become(request, files, launcher)
                    return tell
                for file in [tell, *files]:
                    os.close(file)
                selector.register(told, selectors.EVENT_READ, (child, caller))
                selector.register(caller, selectors.EVENT_READ, (child, None))
            elif key.data[1] is None:
                # The caller is gone before the answer.
                selector.unregister(key.fileobj)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(key.data[0], signal.SIGTERM)
            else:
                child, caller = key.data
                selector.unregister(key.fileobj)
                if caller in selector.get_map():
                    selector.unregister(caller)
                with caller:
                    names = end(child, key.fileobj, caller)
                for name in names:
                    with contextlib.suppress(BaseException):
                        importlib.import_module(name)
                # A child's collector can ignore the existing objects.
                gc.freeze()
    return None


def forget(loaded):
    """Makes gcloud read its user's configuration again: its modules read one when they were loaded here."""
    name = "googlecloudsdk.core.configurations.named_configs"
    if name in loaded:
        sys.modules[name].ActivePropertiesFile.Invalidate()


def run(main):
    """Runs main() to the end of the process, as the interpreter would. Returns the exit code.

    The interpreter itself would also visit every loaded object, to free it: ten times
    the work of a call.
    """
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    path, parent = [argument for argument in sys.argv[1:] if argument != "-S"]
    sys.argv = [path]
    gcloud = load(path)
    listener = socket.socket(fileno=os.dup(0))
    tell = serve(listener, int(parent))
    if tell is None:
        os.unlink(listener.getsockname())
        return
    known = set(sys.modules)
    forget(known)
    code = run(gcloud.main)
    # Modules of single commands are not found by their names.
    new = [name for name in sys.modules if name not in known and not name.startswith("__")]
    with open(tell, "w") as told:
        told.write("\n".join(new))
    os._exit(code)


if __name__ == "__main__":
    main()
