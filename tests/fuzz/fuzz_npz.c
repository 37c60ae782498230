/* An .npz: the arrays of a noise file. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "io/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { ARRAYS = 4, LIMIT = 1 << 16 };
    static const char *const names[ARRAYS] = {"start", "noise", "picks", "tables"};
    array a[ARRAYS];
    const dfl_status status = npz_read(fuzz_file(data, size), names, ARRAYS, true, LIMIT, a);
    fuzz_outcome(status, status == DFL_OK ? a : NULL);
    for (int i = 0; i < ARRAYS && status == DFL_OK; i++) {
        if (a[i].rank < 0) continue;
        const size_t bytes = array_count(&a[i]) * array_type_size(a[i].type);
        fuzz_check(bytes <= LIMIT, "more data than is allowed");
        free(fuzz_text(a[i].data, bytes)); /* every byte that is promised is there */
        array_free(&a[i]);
    }
    return 0;
}
