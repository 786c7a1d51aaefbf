"""gcloud, loaded once, and forked for each call.

gcloud's own launcher starts this in the place of its lib/gcloud.py (CLOUDSDK_PYTHON_ARGS), with the
interpreter and the environment that it chooses. Standard input is the socket on which call.py asks. Each
call runs main() of lib/gcloud.py in a process of its own; what it had to load is loaded here before the
next one. Ends with the process that started it.
"""

import atexit
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import selectors
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
    """What the launcher adds to the environment, without what brought it here."""
    added = {name: value for name, value in os.environ.items() if name.startswith(("CLOUDSDK_", "PYTHON"))}
    added["CLOUDSDK_PYTHON_ARGS"] = added["CLOUDSDK_PYTHON_ARGS"].replace(__file__, "").strip()
    return added


def become(caller, launcher):
    """Takes over the files, environment, folder, and arguments of who calls."""
    request, files, _, _ = socket.recv_fds(caller, 1 << 16, 3)
    while more := caller.recv(1 << 16):
        request += more
    request = json.loads(request)
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"] | launcher)
    sys.argv[1:] = request["arguments"]


def serve(listener):
    """Returns in each child once it is who calls, with a pipe on which to tell what it loads; and in
    this process, with None, at the end."""
    parent, launcher = os.getppid(), of_launcher()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while os.getppid() == parent:
        for key, _ in selector.select(timeout=1):
            if key.fileobj is listener:
                caller, _ = listener.accept()
                told, tell = os.pipe()
                child = os.fork()
                if child == 0:
                    become(caller, launcher)
                    return tell
                os.close(tell)
                selector.register(told, selectors.EVENT_READ, (child, caller))
                continue
            selector.unregister(key.fileobj)
            child, caller = key.data
            with open(key.fileobj) as told:
                names = told.read().split()
            _, status = os.waitpid(child, 0)
            with caller, contextlib.suppress(OSError):
                caller.send(str(os.waitstatus_to_exitcode(status)).encode())
            for name in names:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
            # What is here already is nothing that a child's collector need look at.
            gc.freeze()
    return None


def run(main):
    """Runs main() to the end of the process, as the interpreter would. Returns the exit code.

    The interpreter itself would also visit every object of all that was loaded, to free it: ten times
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
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main():
    sys.argv = [argument for argument in sys.argv[1:] if argument != "-S"]
    gcloud = load(sys.argv[0])
    listener = socket.socket(fileno=os.dup(0))
    tell = serve(listener)
    if tell is None:
        os.unlink(listener.getsockname())
        return
    known = set(sys.modules)
    code = run(gcloud.main)
    # Modules of single commands are not found by their names.
    new = [name for name in sys.modules if name not in known and not name.startswith("__")]
    with open(tell, "w") as told:
        told.write("\n".join(new))
    os._exit(code)


if __name__ == "__main__":
    main()
