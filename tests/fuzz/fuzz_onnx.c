/* The frame of a network file. */
#include "fuzz/fuzz.h"

#include "model/port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const dfl_status status = onnx_check(fuzz_file(data, size));
    fuzz_check(status == DFL_OK || status == DFL_E_MODEL, "another outcome than yes or no");
    return 0;
}
