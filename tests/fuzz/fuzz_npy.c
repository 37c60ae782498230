/* An .npy: read, and its header written again. */
#include "fuzz/fuzz.h"

#include "io/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { LIMIT = 1 << 16 };
    array a;
    text head = {0};
    const dfl_status status = npy_parse("input", (const char *)data, size, LIMIT, &a);
    fuzz_outcome(status, status == DFL_OK ? a.data : NULL);
    if (status != DFL_OK) return 0;
    const size_t bytes = array_count(&a) * array_type_size(a.type);
    fuzz_check(bytes <= LIMIT && bytes < size, "more data than there is");
    fuzz_check(npy_header(a.type, a.rank, a.shape, &head) == DFL_OK, "no header for its shape");
    fuzz_check(head.len % 64 == 0, "the data is not aligned");
    text_free(&head);
    array_free(&a);
    return 0;
}
