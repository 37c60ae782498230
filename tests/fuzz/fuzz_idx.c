/* Pictures in MNIST's format, plain or gzipped. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "io/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { ROOM = 1 << 16 };
    idx_reader *r = NULL;
    FUZZ_CALL(idx_open(fuzz_file(data, size), &r), r);
    if (!r) return 0;
    const idx_shape shape = idx_size(r);
    uint8_t *const room = malloc(ROOM);
    fuzz_check(room != NULL, "no memory");
    fuzz_check(shape.count >= 1 && shape.height >= 1 && shape.width >= 1, "nothing in it");
    for (size_t i = 0; i < 3 && i < shape.count && shape.height * shape.width <= ROOM; i++) {
        /* forward, back, and behind what was read */
        const dfl_status status = idx_read(r, i == 1 ? 0 : i, 1, room);
        fuzz_outcome(status, status == DFL_OK ? room : NULL);
        if (status == DFL_OK) free(fuzz_text(room, shape.height * shape.width));
    }
    free(room);
    idx_close(r);
    return 0;
}
