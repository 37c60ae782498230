/* The random numbers: Philox against published vectors and a second implementation, Box-Muller
   against libm in long double, distributions, and independence of how draws are cut. */
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* Philox 4x32-10 as in Salmon et al., SC 2011, section 3.3, by the book. */
static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t word[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    memcpy(word, counter, 4 * sizeof *word);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * word[0], b = (uint64_t)0xCD9E8D57u * word[2];
        const uint32_t next[4] = {(uint32_t)(b >> 32) ^ word[1] ^ k0, (uint32_t)b,
                                  (uint32_t)(a >> 32) ^ word[3] ^ k1, (uint32_t)a};
        memcpy(word, next, sizeof next);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static double uniform_of(uint32_t low, uint32_t high) {
    return ldexp((double)(((uint64_t)high << 32 | low) >> 11), -53);
}

/* Box-Muller of a block's words in long double; radius is the scale that errors count in. */
static void expected_pair(const uint32_t word[4], long double pair[2], long double *radius) {
    const double u = uniform_of(word[0], word[1]) + 0x1p-54;
    const long double angle =
        2 * 3.14159265358979323846264338328L * (long double)uniform_of(word[2], word[3]);
    *radius = sqrtl(-2 * logl((long double)u));
    pair[0] = *radius * cosl(angle);
    pair[1] = *radius * sinl(angle);
}

/* ---- known answers --------------------------------------------------------------------------- */

/* Published with Random123: kat_vectors, philox4x32 10. */
static const struct {
    uint32_t counter[4], key[2], word[4];
} known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void test_known(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(known); i++) {
        const uint32_t *c = known[i].counter;
        const uint64_t seed = (uint64_t)known[i].key[1] << 32 | known[i].key[0];
        const uint64_t sample = (uint64_t)c[3] << 32 | c[2];
        uint32_t word[4];
        long double pair[2], radius;
        double found[2];
        philox(c, known[i].key, word);
        assert_memory_equal(word, known[i].word, sizeof word);
        expected_pair(word, pair, &radius);
        noise_normals(seed, (int)(c[1] >> 28), c[1] & 0x0fffffff, sample, 2 * (size_t)c[0], 2,
                      found);
        for (int k = 0; k < 2; k++)
            assert_true(fabsl(found[k] - pair[k]) < 4 * DBL_EPSILON * radius);
    }
    assert_true(noise_uniform(0, 0, 0, 0) == uniform_of(0x6627e8d5, 0xe169c58d));
}

/* The key's layout: seed, kind and draw, sample each change the numbers, and nothing overlaps. */
static void test_key(void **state) {
    (void)state;
    uint32_t word[4];
    for (uint32_t i = 0; i < 2000; i++) {
        const uint64_t seed = i * UINT64_C(0x9E3779B97F4A7C15), sample = seed ^ (seed >> 7);
        const uint32_t draw = (i * 77777u) & 0x0fffffffu, kind = i % 5;
        const uint32_t counter[4] = {0, kind << 28 | draw, (uint32_t)sample,
                                     (uint32_t)(sample >> 32)};
        const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
        philox(counter, key, word);
        assert_true(noise_uniform(seed, (int)kind, draw, sample) == uniform_of(word[0], word[1]));
    }
}

/* ---- Box-Muller ------------------------------------------------------------------------------ */

/* Error in units of the radius's last place: log, sine and cosine together. Measured 1.4. */
static void test_accuracy(void **state) {
    (void)state;
    enum { BLOCKS = 400000 };
    long double worst = 0, worst_relative = 0;
    double *z = mem_array(2 * BLOCKS, sizeof *z), smallest = 1, largest = 0;
    assert_non_null(z);
    noise_normals(123, DFL_DRAW_NOISE, 5, 77, 0, 2 * BLOCKS, z);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        const uint32_t counter[4] = {i, 1u << 28 | 5, 77, 0}, key[2] = {123, 0};
        uint32_t word[4];
        long double pair[2], radius;
        philox(counter, key, word);
        expected_pair(word, pair, &radius);
        for (size_t k = 0; k < 2; k++) {
            const long double off = fabsl(z[2 * i + k] - pair[k]);
            worst = fmaxl(worst, off / (DBL_EPSILON * radius));
            if (fabsl(pair[k]) > radius / 4)
                worst_relative = fmaxl(worst_relative, off / (DBL_EPSILON * fabsl(pair[k])));
            largest = fmax(largest, fabs(z[2 * i + k]));
        }
        smallest = fmin(smallest, uniform_of(word[0], word[1]));
    }
    free(z);
    print_message("normals: error up to %.2Lf ulp of the radius, %.2Lf ulp of themselves; largest "
                  "%.2f, smallest uniform %.1e\n",
                  worst, worst_relative, largest, smallest);
    assert_true(worst < 2.5L && worst_relative < 4);
    assert_true(largest > 4.5 && largest < 8.65);
}

/* ---- distributions --------------------------------------------------------------------------- */

enum { MANY = 1000000 };

/* Moments 1 to 4 in units of their standard error. */
static void check_moments(const double *z, size_t n) {
    double sum[5] = {0};
    for (size_t i = 0; i < n; i++) {
        const double z2 = z[i] * z[i];
        sum[1] += z[i];
        sum[2] += z2;
        sum[3] += z2 * z[i];
        sum[4] += z2 * z2;
    }
    const double count = (double)n;
    const double expected[5] = {0, 0, 1, 0, 3}, variance[5] = {0, 1, 2, 15, 96};
    for (int m = 1; m <= 4; m++) {
        const double off = (sum[m] / count - expected[m]) / sqrt(variance[m] / count);
        if (fabs(off) >= 5) print_error("moment %d is off by %.1f sigma\n", m, off);
        assert_true(fabs(off) < 5);
    }
}

static void check_correlation(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    assert_true(fabs(sum) / sqrt((double)n) < 5);
}

/* Along elements, samples, draws, kinds and seeds; and no correlation between neighbours in any. */
static void test_moments(void **state) {
    (void)state;
    double *z = mem_array(MANY + 8, sizeof *z), *other = mem_array(MANY, sizeof *other);
    assert_true(z && other);
    noise_normals(1, DFL_DRAW_NOISE, 0, 0, 0, MANY + 8, z);
    check_moments(z, MANY);
    for (size_t lag = 1; lag <= 8; lag++) check_correlation(z, z + lag, MANY);
    static const struct {
        uint64_t seed, sample;
        int kind;
        uint32_t draw;
    } neighbours[] = {{2, 0, DFL_DRAW_NOISE, 0},
                      {1, 1, DFL_DRAW_NOISE, 0},
                      {1, 0, DFL_DRAW_NOISE, 1},
                      {1, 0, DFL_DRAW_START, 0},
                      {1, (uint64_t)1 << 32, DFL_DRAW_NOISE, 0},
                      {(uint64_t)1 << 63, 0, DFL_DRAW_NOISE, 0}};
    for (size_t i = 0; i < LENGTH(neighbours); i++) {
        noise_normals(neighbours[i].seed, neighbours[i].kind, neighbours[i].draw,
                      neighbours[i].sample, 0, MANY, other);
        check_moments(other, MANY);
        check_correlation(z, other, MANY);
    }
    for (size_t i = 0; i < MANY; i += 2) /* the way a run draws: few elements of many samples */
        noise_normals(1, DFL_DRAW_START, 0, i, 0, 2, other + i);
    check_moments(other, MANY);
    for (size_t i = 0; i < MANY; i += 2)
        noise_normals(1, DFL_DRAW_NOISE, (uint32_t)i, 3, 0, 2, other + i);
    check_moments(other, MANY);
    check_correlation(other, other + 2, MANY - 2);
    free(z);
    free(other);
}

/* 53 bits in [0, 1), evenly: chi-square over 1024 cells below its 1e-9 quantile. */
static void test_uniforms(void **state) {
    (void)state;
    enum { CELLS = 1024 };
    static double cell[CELLS];
    double sum = 0, square = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        const double u = noise_uniform(9, DFL_DRAW_PICK, 3, i);
        assert_true(u >= 0 && u < 1 && ldexp(u, 53) == floor(ldexp(u, 53)));
        cell[(int)(u * CELLS)]++;
        sum += u;
    }
    const double each = (double)MANY / CELLS;
    for (int i = 0; i < CELLS; i++) square += (cell[i] - each) * (cell[i] - each) / each;
    print_message("uniforms: chi-square %.0f of %d cells\n", square, CELLS);
    assert_true(square < 1320 && square > 760);
    assert_true(fabs(sum / MANY - 0.5) < 5 * sqrt(1.0 / 12 / MANY));
}

/* ---- cuts ------------------------------------------------------------------------------------ */

static void test_cuts(void **state) {
    (void)state;
    enum { N = 101 };
    double whole[N], piece[N];
    noise_normals(4, DFL_DRAW_TABLE, 2, 5, 0, N, whole);
    for (size_t from = 0; from < N; from++)
        for (size_t n = 0; n <= N - from; n += 1 + n / 3) {
            memset(piece, 0, sizeof piece);
            noise_normals(4, DFL_DRAW_TABLE, 2, 5, from, n, piece);
            assert_memory_equal(piece, whole + from, n * sizeof *piece);
            if (n < N) assert_true(piece[n] == 0);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),    cmocka_unit_test(test_key),
        cmocka_unit_test(test_accuracy), cmocka_unit_test(test_moments),
        cmocka_unit_test(test_uniforms), cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
