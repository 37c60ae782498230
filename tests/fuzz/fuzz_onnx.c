/* A network file: its frame, and the inputs and outputs of its graph. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "model/port.h"

static void check_values(const onnx_value *values, size_t n) {
    fuzz_check(n <= ONNX_VALUES_MAX, "more values than there is room for");
    for (size_t i = 0; i < n; i++) {
        const net_port *const port = &values[i].port;
        fuzz_check(memchr(values[i].name, 0, ONNX_NAME) != NULL, "a name without an end");
        for (int k = 0; k < port->rank && k <= CARD_RANK_MAX; k++)
            fuzz_check(port->dims[k] >= PORT_UNKNOWN && port->dims[k] <= INT32_MAX,
                       "a dimension that is none");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static onnx_graph graph;
    const char *const path = fuzz_file(data, size);
    const dfl_status frame = onnx_check(path), whole = onnx_read(path, &graph);
    fuzz_check(frame == DFL_OK || frame == DFL_E_MODEL, "another outcome than yes or no");
    fuzz_outcome(whole, whole == DFL_OK ? &graph : NULL);
    fuzz_check(whole == DFL_E_MODEL || frame == DFL_OK, "a graph in a broken frame");
    if (whole != DFL_OK) return 0;
    check_values(graph.input, graph.ninputs);
    check_values(graph.output, graph.noutputs);
    return 0;
}
