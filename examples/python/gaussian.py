"""Samples N(3, 0.5^2) in twelve evaluations through ctypes; this program owns the loop.

    python3 gaussian.py [libdriftless.so]
"""

import ctypes
import statistics
import sys

N = 4000
CARD = b"""{"format": "driftless-model/1", "process": "vp_linear", "prediction_type": "epsilon",
            "sample": {"shape": [1]}}"""

lib = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libdriftless.so")
lib.dfl_last_message.restype = ctypes.c_char_p
lib.dfl_request_count.restype = ctypes.c_size_t
for name in ("input", "output", "a", "b"):
    getattr(lib, f"dfl_request_{name}").restype = ctypes.POINTER(ctypes.c_double)


def check(status):
    if status:
        sys.exit(lib.dfl_last_message().decode())


model, plan, run, request = (ctypes.c_void_p() for _ in range(4))
samples = (ctypes.c_double * N)()
check(lib.dfl_model_callback(CARD, None, None, ctypes.byref(model)))
check(lib.dfl_plan_new(model, b"solver=deis:order=2 steps=12", ctypes.byref(plan)))
check(lib.dfl_run_new(plan, model, b"seed=1,batch=4000,dtype=float64", ctypes.byref(run)))
check(lib.dfl_run_begin(run, ctypes.c_uint64(0), ctypes.c_size_t(N), None, None, samples))
check(lib.dfl_run_next(run, ctypes.byref(request)))
calls = 0
while request:
    x, noise = lib.dfl_request_input(request), lib.dfl_request_output(request)
    a, b = lib.dfl_request_a(request)[0], lib.dfl_request_b(request)[0]
    for i in range(lib.dfl_request_count(request)):
        noise[i] = b * (x[i] - 3 * a) / (0.25 * a**2 + b**2)  # x = a x_0 + b n: the mean of n, given x
    calls += 1
    check(lib.dfl_run_next(run, ctypes.byref(request)))
for free, handle in ((lib.dfl_run_free, run), (lib.dfl_plan_free, plan), (lib.dfl_model_free, model)):
    free(handle)

mean, deviation = statistics.fmean(samples), statistics.pstdev(samples)
print(f"mean {mean:.4f}, deviation {deviation:.4f}, {calls} calls")
sys.exit(abs(mean - 3) > 0.04 or abs(deviation - 0.5) > 0.03)
