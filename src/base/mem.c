/* Memory. Every block of the library comes from mem_array or mem_grow, so that sizes are checked
   for overflow in one place and a test can make the n-th request fail in one place. */
#include "base/base.h"

#include <stdlib.h>

void *mem_array(size_t n, size_t size) {
    if (size > 0 && n > (size_t)PTRDIFF_MAX / size) return NULL;
    const bool empty = n == 0 || size == 0;
    return empty ? calloc(1, 1) : calloc(n, size);
}

bool mem_grow(void **array, size_t *cap, size_t need, size_t size) {
    if (need <= *cap) return true;
    const size_t most = (size_t)PTRDIFF_MAX / (size ? size : 1);
    if (need > most) return false;
    size_t grown = *cap + *cap / 2;
    if (grown < 8) grown = 8;
    if (grown < need) grown = need;
    if (grown > most) grown = most;
    void *moved = realloc(*array, grown * (size ? size : 1));
    if (!moved) return false;
    *array = moved;
    *cap = grown;
    return true;
}

size_t mem_product(size_t a, size_t b, size_t c) {
    if (a == 0 || b == 0 || c == 0) return 0;
    if (a > SIZE_MAX / b || a * b > SIZE_MAX / c) return SIZE_MAX;
    return a * b * c;
}

static int by_size(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

void sort_reals(double *x, size_t n) {
    qsort(x, n, sizeof *x, by_size);
}
