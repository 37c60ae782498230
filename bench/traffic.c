/* How near the fused sum comes to memory speed: bench_traffic PASSES, one JSON object per line.
 *
 * A sum of k float32 arrays reads k and writes one; memcpy moving as many bytes (read + written) in one
 * go is the measure. Both sizes are timed in turns, the least time counts: arrays far larger than any
 * cache, and a state of 64x3x32x32. */
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

static void measure(size_t n, int loops, int passes, float *all, char *copied) {
    term terms[SOURCES];
    lin_job job = {.type = DFL_FLOAT32, .count = 1, .stride = n, .dim = n, .components = 1};
    job.dst = all + SOURCES * n;
    job.terms = terms;
    for (size_t k = 0; k < SOURCES; k++) {
        terms[k] = (term){.c = blk_real(0.2 + 0.1 * (double)k)};
        job.src[k] = all + k * n;
        job.from[k] = 1;
    }
    for (size_t k = 2; k <= SOURCES; k++) {
        job.n = k;
        const size_t bytes = (k + 1) * n * sizeof(float); /* read and written by the sum */
        double sum = 1e30, copy = 1e30;
        for (int pass = 0; pass < passes; pass++) {
            const double s = time_sum(&job, loops),
                         c = time_copy(copied, (char *)all, bytes / 2, loops);
            if (s < sum) sum = s;
            if (c < copy) copy = c;
        }
        printf("{\"numbers\": %zu, \"sources\": %zu, \"sum_gb_s\": %.3f, \"copy_gb_s\": %.3f}\n", n,
               k, (double)bytes / sum * 1e-9, (double)bytes / copy * 1e-9);
    }
}

int main(int argc, char **argv) {
    const int passes = argc > 1 ? atoi(argv[1]) : 5;
    const size_t large = 16u << 20, small = 64 * 3 * 32 * 32;
    float *all = malloc((SOURCES + 1) * large * sizeof *all);
    char *copied = malloc((SOURCES + 1) * large * sizeof *all / 2);
    if (!all || !copied) return fputs("bench_traffic: out of memory\n", stderr), 1;
    for (size_t i = 0; i < (SOURCES + 1) * large; i++) all[i] = (float)(i % 13) - 6;
    memset(copied, 0, (SOURCES + 1) * large * sizeof *all / 2);
    measure(large, 2, passes, all, copied);
    measure(small, 200, passes, all, copied);
    free(all);
    free(copied);
    return 0;
}
