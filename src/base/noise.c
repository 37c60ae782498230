/* Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011; Random123) and Box-Muller.
 *
 * key = seed; counter = (block, kind << 28 | draw, sample low, sample high). One block of four
 * 32-bit words gives two 53-bit uniforms and so normals 2 block and 2 block + 1. Everything after
 * Philox is +, -, *, /, sqrt in double without contraction: exactly rounded, so the bits are the
 * same on every machine. libm's log, sin and cos are not, hence the polynomials here. */
#include "base/base.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include <Random123/philox.h>

_Static_assert(FLT_EVAL_METHOD == 0, "noise needs doubles rounded after every operation");

static void philox(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t block,
                   double uniform[2]) {
    const philox4x32_ctr_t counter = {{block, stream, (uint32_t)sample, (uint32_t)(sample >> 32)}};
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    const philox4x32_ctr_t word = philox4x32(counter, key);
    for (int i = 0; i < 2; i++) {
        const uint64_t bits = (uint64_t)word.v[2 * i] | (uint64_t)word.v[2 * i + 1] << 32;
        uniform[i] = (double)(bits >> 11) * 0x1p-53;
    }
}

static uint32_t stream_of(int kind, uint32_t draw) {
    return (uint32_t)kind << 28 | (draw & 0x0fffffffu);
}

/* log(x) for x in (0, 1]: x = m 2^e with m in [1/sqrt 2, sqrt 2), log m = 2 atanh(s),
   s = (m - 1) / (m + 1), |s| < 0.1716: eleven terms leave 1e-17. */
static double log_exact(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.41421356237309505) {
        m *= 0.5;
        exponent++;
    }
    const double s = (m - 1) / (m + 1), s2 = s * s;
    double series = 0;
    for (int k = 21; k >= 3; k -= 2) series = (series + 1.0 / k) * s2;
    const double ln2_high = 0x1.62e42fefa39efp-1, ln2_low = 0x1.abc9e3b39803fp-56;
    return exponent * ln2_high + (2 * s + (2 * s * series + exponent * ln2_low));
}

/* cos and sin of 2 pi u for u in [0, 1): the octant is exact in u, the rest is at most pi/4. */
static void circle_exact(double u, double *cosine, double *sine) {
    const int octant = (int)(8 * u);
    const bool odd = octant & 1;
    const double fraction = 8 * u - octant;
    const double x = (odd ? 1 - fraction : fraction) * 0x1.921fb54442d18p-1, x2 = x * x;
    double s = 0, c = 0;
    for (int k = 17; k >= 3; k -= 2) s = (s + 1) * (-x2 / ((k - 1) * k));
    for (int k = 18; k >= 2; k -= 2) c = (c + 1) * (-x2 / ((k - 1) * k));
    s = x + x * s;
    c = 1 + c;
    const int quarter = octant >> 1;
    if (odd) { /* measured back from the end of the quarter turn */
        const double swap = s;
        s = c;
        c = swap;
    }
    *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
    *sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
}

static void normal_pair(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t block,
                        double pair[2]) {
    double u[2], cosine, sine;
    philox(seed, stream, sample, block, u);
    const double radius =
        sqrt(-2 * log_exact(u[0] + 0x1p-54)); /* never log(0): tail ends at 8.65 */
    circle_exact(u[1], &cosine, &sine);
    pair[0] = radius * cosine;
    pair[1] = radius * sine;
}

void noise_normals(uint64_t seed, int kind, uint32_t draw, uint64_t sample, size_t element0,
                   size_t n, double *dst) {
    const uint32_t stream = stream_of(kind, draw);
    double pair[2];
    for (size_t i = 0; i < n;) {
        const size_t element = element0 + i;
        normal_pair(seed, stream, sample, (uint32_t)(element / 2), pair);
        dst[i++] = pair[element % 2];
        if (element % 2 == 0 && i < n) dst[i++] = pair[1];
    }
}

double noise_uniform(uint64_t seed, int kind, uint32_t draw, uint64_t sample) {
    double u[2];
    philox(seed, stream_of(kind, draw), sample, 0, u);
    return u[0];
}
