/* How near the fused sum comes to memory speed: bench_traffic PASSES, one JSON object per line.
 *
 * A sum of k float32 arrays reads k and writes one; memcpy moving as many bytes (read + written) in one
 * go is the measure. Both are timed in turns, the least time counts: arrays far larger than any cache, and
 * a state of 64x3x32x32, which is also summed in float64: sums run in double, so float32 pays for being
 * converted, and within the cache that is what it waits for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"

enum { SOURCES = 5 };

static double time_sum(const lin_job *job, int loops) {
    const double began = seconds_now();
    for (int i = 0; i < loops; i++) lin_run(job);
    return (seconds_now() - began) / loops;
}

static double time_copy(char *dst, const char *src, size_t bytes, int loops) {
    const double began = seconds_now();
    for (int i = 0; i < loops; i++) {
        memcpy(dst, src, bytes);
        __asm__ volatile("" : : "r"(dst) : "memory"); /* a repeated copy must not be left out */
    }
    return (seconds_now() - began) / loops;
}

static void measure(int type, size_t n, int loops, int passes, char *all, char *copied) {
    term terms[SOURCES];
    const size_t array = n * vec_size(type);
    lin_job job = {.type = type, .count = 1, .stride = n, .dim = n, .components = 1};
    job.dst = all + SOURCES * array;
    job.terms = terms;
    for (size_t k = 0; k < SOURCES; k++) {
        terms[k] = (term){.c = blk_real(0.2 + 0.1 * (double)k)};
        job.src[k] = all + k * array;
        job.from[k] = 1;
    }
    for (size_t k = 2; k <= SOURCES; k++) {
        job.n = k;
        const size_t bytes = (k + 1) * array; /* read and written by the sum */
        double sum = 1e30, copy = 1e30;
        for (int pass = 0; pass < passes; pass++) {
            const double s = time_sum(&job, loops), c = time_copy(copied, all, bytes / 2, loops);
            if (s < sum) sum = s;
            if (c < copy) copy = c;
        }
        printf("{\"numbers\": %zu, \"bits\": %zu, \"sources\": %zu, \"sum_gb_s\": %.3f, "
               "\"copy_gb_s\": %.3f}\n",
               n, 8 * vec_size(type), k, (double)bytes / sum * 1e-9, (double)bytes / copy * 1e-9);
    }
}

int main(int argc, char **argv) {
    const int passes = argc > 1 ? atoi(argv[1]) : 5;
    const size_t large = 16u << 20, small = 64 * 3 * 32 * 32;
    float *all = malloc((SOURCES + 1) * large * sizeof *all);
    char *copied = malloc((SOURCES + 1) * large * sizeof *all / 2);
    if (!all || !copied) return fputs("bench_traffic: out of memory\n", stderr), 1;
    for (size_t i = 0; i < (SOURCES + 1) * large; i++)
        all[i] = (float)(i % 13 + 1); /* read as float64 these are ordinary numbers, too */
    memset(copied, 0, (SOURCES + 1) * large * sizeof *all / 2);
    measure(DFL_FLOAT32, large, 2, passes, (char *)all, copied);
    measure(DFL_FLOAT32, small, 200, passes, (char *)all, copied);
    measure(DFL_FLOAT64, small, 200, passes, (char *)all, copied);
    free(all);
    free(copied);
    return 0;
}
