"""What libpq makes of connection strings, service files and password files. Reads cases on stdin, answers on stdout."""

import ctypes
import ctypes.util
import json
import os
import sys

libpq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")


class Option(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")] + [
        ("dispsize", ctypes.c_int)
    ]


libpq.PQconninfoParse.restype = ctypes.POINTER(Option)
libpq.PQconninfoParse.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)]
libpq.PQconnectdb.restype = ctypes.c_void_p
for name in ("PQhost", "PQport", "PQuser", "PQdb", "PQpass", "PQerrorMessage"):
    getattr(libpq, name).restype = ctypes.c_char_p
    getattr(libpq, name).argtypes = [ctypes.c_void_p]
libpq.PQstatus.argtypes = [ctypes.c_void_p]
libpq.PQfinish.argtypes = [ctypes.c_void_p]


def text(raw):
    return (raw or b"").decode("utf-8", "replace")


def parse(case):
    error = ctypes.c_char_p()
    options = libpq.PQconninfoParse(case["text"].encode(), ctypes.byref(error))
    if not options:
        return {"ok": False, "error": text(error.value)}
    found, at = {"ok": True}, 0
    while options[at].keyword:
        name = text(options[at].keyword)
        if name in ("host", "port", "user", "dbname", "password", "sslmode"):
            found[name] = text(options[at].val)
        at += 1
    libpq.PQconninfoFree(options)
    return found


def start(case):
    connection = libpq.PQconnectdb(case["text"].encode())
    error = text(libpq.PQerrorMessage(connection))
    # A host that is not there is none of the settings' fault.
    ok = libpq.PQstatus(connection) != 1 or error.startswith("connection to server") and "invalid" not in error
    found = {"ok": ok, "error": error}
    for name, ask in (("host", libpq.PQhost), ("port", libpq.PQport), ("user", libpq.PQuser), ("dbname", libpq.PQdb), ("password", libpq.PQpass)):
        found[name] = text(ask(connection))
    libpq.PQfinish(connection)
    return found


answers = []
for case in json.load(sys.stdin):
    for name in list(os.environ):
        if name.startswith("PG") or name == "HOME":
            del os.environ[name]
    os.environ.update(case["env"])
    answers.append(parse(case) if case["how"] == "parse" else start(case))
json.dump(answers, sys.stdout)
