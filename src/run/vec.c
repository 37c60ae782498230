/* The only loops over state data. Sums run in double, left to right, without contraction, so that
   their bits do not depend on how the data is cut into tiles. */
#include "run/run.h"

#include <math.h>
#include <string.h>

/* Functions are compiled for each instruction set and chosen by `if` or pointer at run time: clones
   made by the compiler (ifunc) crash under the thread sanitizer. */
#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2");
}
#endif

size_t vec_size(int type) {
    return type == DFL_FLOAT32 ? sizeof(float) : sizeof(double);
}

void vec_from_double(int type, void *dst, const double *src, size_t n) {
    if (type == DFL_FLOAT64) {
        memcpy(dst, src, n * sizeof *src);
        return;
    }
    float *out = dst;
    for (size_t i = 0; i < n; i++) out[i] = (float)src[i];
}

void vec_to_double(int type, double *dst, const void *src, size_t n) {
    if (type == DFL_FLOAT64) {
        memcpy(dst, src, n * sizeof *dst);
        return;
    }
    const float *in = src;
    for (size_t i = 0; i < n; i++) dst[i] = (double)in[i];
}

/* An exponent of all ones is an infinity or a NaN; integers vectorise where isfinite does not. */
#define DEFINE_FINITE(name, bits, exponent, target)                                                \
    target static bool name(const void *src, size_t n) {                                           \
        const char *bytes = src;                                                                   \
        int bad = 0;                                                                               \
        for (size_t i = 0; i < n; i++) {                                                           \
            bits number;                                                                           \
            memcpy(&number, bytes + i * sizeof number, sizeof number);                             \
            bad |= (number & (exponent)) == (exponent);                                            \
        }                                                                                          \
        return !bad;                                                                               \
    }

#define DEFINE_FINITES(suffix, target)                                                             \
    DEFINE_FINITE(finite_floats##suffix, uint32_t, 0x7f800000u, target)                            \
    DEFINE_FINITE(finite_doubles##suffix, uint64_t, 0x7ff0000000000000u, target)

DEFINE_FINITES(_plain, )
#if defined(__x86_64__)
DEFINE_FINITES(_avx2, AVX2)
#endif

bool vec_is_finite(int type, const void *src, size_t n) {
#if defined(__x86_64__)
    if (has_avx2())
        return type == DFL_FLOAT32 ? finite_floats_avx2(src, n) : finite_doubles_avx2(src, n);
#endif
    return type == DFL_FLOAT32 ? finite_floats_plain(src, n) : finite_doubles_plain(src, n);
}

/* Written so that a NaN stays one: it must come out at the end of the run, not be clamped. */
void vec_clip(int type, void *dst, const void *src, size_t n, double lo, double hi) {
    if (type == DFL_FLOAT32) {
        const float *in = src, least = (float)lo, most = (float)hi;
        float *out = dst;
        for (size_t i = 0; i < n; i++) out[i] = in[i] < least ? least : in[i] > most ? most : in[i];
    } else {
        const double *in = src;
        double *out = dst;
        for (size_t i = 0; i < n; i++) out[i] = in[i] < lo ? lo : in[i] > hi ? hi : in[i];
    }
}

void vec_select(int type, void *dst, const void *const src[3], size_t n) {
    if (type == DFL_FLOAT32) {
        const float *one = src[0], *other = src[1], *mask = src[2];
        float *out = dst;
        for (size_t i = 0; i < n; i++) out[i] = mask[i] * one[i] + (1 - mask[i]) * other[i];
    } else {
        const double *one = src[0], *other = src[1], *mask = src[2];
        double *out = dst;
        for (size_t i = 0; i < n; i++) out[i] = mask[i] * one[i] + (1 - mask[i]) * other[i];
    }
}

/* Hoare's selection: puts the k-th smallest of x[0..n) in its place, nothing larger before it. */
static double nth(double *x, size_t n, size_t k) {
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        const double pivot = x[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (x[j] > pivot) j--;
            if (i > j) break;
            const double swap = x[i];
            x[i++] = x[j];
            x[j] = swap;
            if (j == 0) break;
            j--;
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
    return x[k];
}

double vec_quantile(int type, const void *src, size_t n, double q, double *scratch) {
    vec_to_double(type, scratch, src, n);
    for (size_t i = 0; i < n; i++) scratch[i] = fabs(scratch[i]);
    const double position = q * (double)(n - 1), whole = floor(position);
    const size_t k = (size_t)whole;
    const double below = nth(scratch, n, k);
    if (k + 1 >= n) return below;
    double above = INFINITY; /* the smallest of what stands behind the k-th */
    for (size_t i = k + 1; i < n; i++) above = fmin(above, scratch[i]);
    return below + (position - whole) * (above - below);
}

/* ---- fused sums ------------------------------------------------------------------------------ */

enum { TILE = 1024, GROUP = 8, ENTRIES = 2 * PLAN_SOURCES_MAX };

/* dst may be one of the sources but never overlaps one in part: elements do not depend on others. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* builds without optimisation don't vectorise */
#define ELEMENTWISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define ELEMENTWISE _Pragma("GCC ivdep")
#endif

/* dst[i] <- start + sum of k <= GROUP products, in double and in registers, for i in [0, n). One such
   function for each pair of types and each instruction set. The sums have the same bits in all of
   them: nothing is contracted or reordered. */
typedef void sum_fn(void *dst, const void *const *src, const double *c, size_t k, size_t n);

#define SUM_OF(K, result, start)                                                                   \
    case K:                                                                                        \
        ELEMENTWISE                                                                                \
        for (size_t i = 0; i < n; i++) {                                                           \
            double sum = start;                                                                    \
            for (int j = 0; j < K; j++) sum += w[j] * (double)s[j][i];                             \
            out[i] = (result)sum;                                                                  \
        }                                                                                          \
        break;

#define DEFINE_SUM(name, real, result, start, target)                                              \
    target static void name(void *dst, const void *const *src, const double *c, size_t k,          \
                            size_t n) {                                                            \
        result *out = dst;                                                                         \
        const real *s[GROUP];                                                                      \
        double w[GROUP];                                                                           \
        for (size_t j = 0; j < GROUP; j++) s[j] = src[j < k ? j : 0], w[j] = c[j < k ? j : 0];     \
        switch (k) {                                                                               \
            SUM_OF(1, result, start)                                                               \
            SUM_OF(2, result, start)                                                               \
            SUM_OF(3, result, start)                                                               \
            SUM_OF(4, result, start)                                                               \
            SUM_OF(5, result, start)                                                               \
            SUM_OF(6, result, start)                                                               \
            SUM_OF(7, result, start)                                                               \
            SUM_OF(8, result, start)                                                               \
        }                                                                                          \
    }

/* `sum`: a whole sum, in the type of the states. `add`: added to the doubles in dst. */
#define DEFINE_SUMS(suffix, target)                                                                \
    DEFINE_SUM(sum_floats##suffix, float, float, 0, target)                                        \
    DEFINE_SUM(sum_doubles##suffix, double, double, 0, target)                                     \
    DEFINE_SUM(add_floats##suffix, float, double, out[i], target)                                  \
    DEFINE_SUM(add_doubles##suffix, double, double, out[i], target)                                \
    static sum_fn *const sums##suffix[2][2] = {{sum_floats##suffix, add_floats##suffix},           \
                                               {sum_doubles##suffix, add_doubles##suffix}};

enum { WHOLE = 0, ADDED = 1 };

DEFINE_SUMS(_plain, )
#if defined(__x86_64__)
DEFINE_SUMS(_avx2, AVX2)
#endif

static sum_fn *sum_for(int type, int how) {
#if defined(__x86_64__)
    if (has_avx2()) return sums_avx2[type != DFL_FLOAT32][how];
#endif
    return sums_plain[type != DFL_FLOAT32][how];
}

/* One component of the result: the entries of its row of the blocks that are not zero. */
typedef struct {
    size_t n;
    size_t offset[ENTRIES]; /* numbers from the start of the source's sample */
    const char *src[ENTRIES];
    double c[ENTRIES];
} lin_line;

static void collect(const lin_job *job, int component, lin_line *line) {
    line->n = 0;
    for (size_t j = 0; j < job->n; j++) {
        const blk *c = &job->terms[j].c;
        for (int k = 0; k < job->from[j]; k++) {
            const double entry = c->m ? c->v[component * c->n + k] : k == component ? c->v[0] : 0;
            if (entry == 0) continue;
            line->offset[line->n] = (size_t)k * job->dim;
            line->src[line->n] = job->src[j];
            line->c[line->n++] = entry;
        }
    }
}

/* Up to GROUP of a line's sources, from entry j on, at number `at` of the slots; how many. */
static size_t take(const lin_job *job, const lin_line *line, size_t j, size_t at,
                   const void *src[GROUP]) {
    const size_t k = line->n - j < GROUP ? line->n - j : GROUP;
    for (size_t i = 0; i < k; i++)
        src[i] = line->src[j + i] + (line->offset[j + i] + at) * vec_size(job->type);
    return k;
}

/* sum[0..n) of a line, from number `at` of the slots on. */
static void sum_line(const lin_job *job, const lin_line *line, size_t at, size_t n, double *sum) {
    sum_fn *const add = sum_for(job->type, ADDED);
    memset(sum, 0, n * sizeof *sum);
    for (size_t j = 0; j < line->n; j += GROUP) {
        const void *src[GROUP];
        const size_t k = take(job, line, j, at, src);
        add(sum, src, line->c + j, k, n);
    }
}

/* One stretch of n numbers of each component: straight into dst if one sum makes it, else tile by
   tile; both components are summed before either is stored, because dst may be a source. */
static void run_stretch(const lin_job *job, const lin_line *lines, size_t at, size_t n) {
    double sum[2][TILE];
    const size_t size = vec_size(job->type);
    if (job->components == 1 && lines->n > 0 && lines->n <= GROUP) {
        const void *src[GROUP];
        take(job, lines, 0, at, src);
        sum_for(job->type, WHOLE)((char *)job->dst + at * size, src, lines->c, lines->n, n);
        return;
    }
    for (size_t done = 0; done < n; done += TILE) {
        const size_t part = n - done < TILE ? n - done : TILE;
        for (int i = 0; i < job->components; i++) sum_line(job, &lines[i], at + done, part, sum[i]);
        for (int i = 0; i < job->components; i++) {
            char *dst = (char *)job->dst + (at + done + (size_t)i * job->dim) * size;
            vec_from_double(job->type, dst, sum[i], part);
        }
    }
}

void lin_run(const lin_job *job) {
    lin_line lines[2];
    for (int i = 0; i < job->components; i++) collect(job, i, &lines[i]);
    if (job->components == 1 && job->stride == job->dim) { /* no gaps: one stretch for the batch */
        run_stretch(job, lines, 0, job->count * job->stride);
        return;
    }
    for (size_t s = 0; s < job->count; s++) run_stretch(job, lines, s * job->stride, job->dim);
}
