/* A picture of a stranger. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "io/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bitmap b;
    const dfl_status status = png_read(fuzz_file(data, size), &b);
    fuzz_outcome(status, status == DFL_OK ? b.pixels : NULL);
    if (status != DFL_OK) return 0;
    fuzz_check(b.channels == 1 || b.channels == 3, "a picture of other channels");
    fuzz_check(b.height >= 1 && b.width >= 1 && b.height <= 1 << 14 && b.width <= 1 << 14,
               "a picture of a size that is not allowed");
    /* every byte that is promised is there */
    free(fuzz_text(b.pixels, b.height * b.width * (size_t)b.channels));
    bitmap_free(&b);
    return 0;
}
