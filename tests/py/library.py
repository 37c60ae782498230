"""The shared library through ctypes: models, plans and runs with the random numbers and networks of a test."""

import ctypes
import json
from pathlib import Path

import numpy as np

START, NOISE, PICK, TABLE = range(4)
P, SIZE = ctypes.c_void_p, ctypes.c_size_t
DENOISE = ctypes.CFUNCTYPE(ctypes.c_int, P, P)
OBSERVE = ctypes.CFUNCTYPE(ctypes.c_int, P, SIZE, SIZE, ctypes.c_double, ctypes.c_uint64, SIZE, P)
FILL = ctypes.CFUNCTYPE(ctypes.c_int, P, ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64, SIZE, SIZE,
                        ctypes.POINTER(ctypes.c_double))


class Refused(Exception):
    pass


class Library:
    def __init__(self, program):
        """program: path of the program under test; the library lies beside it."""
        lib = self.lib = ctypes.CDLL(str(Path(program).parent / "libdriftless.so"))
        lib.dfl_last_message.restype = ctypes.c_char_p
        lib.dfl_plan_nfe.restype = SIZE
        lib.dfl_run_sample.argtypes = [P, ctypes.c_uint64, SIZE, P, P, P]
        for name in ("input", "output", "a", "b"):
            getattr(lib, f"dfl_request_{name}").restype = ctypes.POINTER(ctypes.c_double)
            getattr(lib, f"dfl_request_{name}").argtypes = [P]
        lib.dfl_request_time.restype = ctypes.c_double
        lib.dfl_request_time.argtypes = [P]
        lib.dfl_request_count.restype = SIZE
        lib.dfl_request_count.argtypes = [P]
        self.kept = []

    def check(self, status):
        if status:
            raise Refused(self.lib.dfl_last_message().decode())

    def mixture(self, path, weights, means, stds, **card):
        """A model that answers exactly for this Gaussian mixture; its file is written to path."""
        text = {"format": "driftless-mixture/1", "weights": weights, "means": means, "stds": stds, "card": card}
        Path(path).write_text(json.dumps(text))
        model = P()
        self.check(self.lib.dfl_model_open(f"mixture:{path}".encode(), None, ctypes.byref(model)))
        return model

    def network(self, card, answer):
        """A model whose raw output is answer(x [count][dim], t)."""

        def call(_, request):
            count = self.lib.dfl_request_count(request)
            x = np.ctypeslib.as_array(self.lib.dfl_request_input(request), (count * 2,)).reshape(count, 2)
            y = np.ctypeslib.as_array(self.lib.dfl_request_output(request), (count * 2,)).reshape(count, 2)
            y[:] = answer(x, self.lib.dfl_request_time(request))
            return 0

        function, model = DENOISE(call), P()
        self.kept.append(function)
        self.check(self.lib.dfl_model_callback(json.dumps(card).encode(), function, None, ctypes.byref(model)))
        return model

    def plan(self, model, spec):
        plan = P()
        self.check(self.lib.dfl_plan_new(model, spec.encode(), ctypes.byref(plan)))
        return plan

    def plan_from(self, text):
        """A plan from JSON text."""
        plan, data = P(), text.encode()
        self.check(self.lib.dfl_plan_from_json(data, SIZE(len(data)), ctypes.byref(plan)))
        return plan

    def nfe(self, plan):
        return self.lib.dfl_plan_nfe(plan)

    def json(self, plan):
        need = SIZE()
        self.check(self.lib.dfl_plan_to_json(plan, None, SIZE(0), ctypes.byref(need)))
        text = ctypes.create_string_buffer(need.value + 1)
        self.check(self.lib.dfl_plan_to_json(plan, text, SIZE(len(text)), None))
        return json.loads(text.value)

    def sample(self, model, plan, start, draws=None):
        """States [steps + 1][n][dim] from start [n][dim]; draws(kind, number) gives the
        random numbers of all samples."""
        states, run = [], P()
        start = np.ascontiguousarray(start, dtype=np.float64)

        def observe(_, step, steps, t, first, count, state):
            values = ctypes.cast(state, ctypes.POINTER(ctypes.c_double))
            states.append(np.ctypeslib.as_array(values, (start.size,)).reshape(start.shape).copy())
            return 0

        def fill(_, kind, number, first, count, dim, out):
            values = np.asarray(draws(kind, number), dtype=np.float64)
            values = values if kind == TABLE else values[first:first + count]
            np.ctypeslib.as_array(out, (count * dim,))[:] = values.reshape(-1)
            return 0

        self.check(self.lib.dfl_run_new(plan, model, b"dtype=float64", ctypes.byref(run)))
        watcher, filler = OBSERVE(observe), FILL(fill)
        self.lib.dfl_run_observe(run, watcher, None)
        if draws:
            self.lib.dfl_run_noise(run, filler, None)
        found = np.empty_like(start)
        status = self.lib.dfl_run_sample(run, 0, len(start), None, start.ctypes.data, found.ctypes.data)
        self.lib.dfl_run_free(run)
        self.check(status)
        return np.array(states), found

    def free_plan(self, plan):
        self.lib.dfl_plan_free(plan)

    def free_model(self, model):
        self.lib.dfl_model_free(model)
