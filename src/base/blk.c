/* Coefficients: numbers and 1x2 .. 2x2 blocks. */
#include "base/base.h"

#include <assert.h>
#include <math.h>

blk blk_2x2(double a, double b, double c, double d) {
    return (blk){2, 2, {a, b, c, d}};
}

static bool is_number(blk a) {
    return a.m == 0;
}

static int entries(blk a) {
    return is_number(a) ? 1 : a.m * a.n;
}

blk blk_scale(double s, blk a) {
    for (int i = 0; i < entries(a); i++) a.v[i] *= s;
    return a;
}

/* A number as the block of b's (square) shape, so that it can be added to it. */
static blk widen(blk number, blk b) {
    assert(b.m == b.n);
    blk w = {b.m, b.n, {0, 0, 0, 0}};
    for (int i = 0; i < b.m; i++) w.v[i * b.n + i] = number.v[0];
    return w;
}

blk blk_add(blk a, blk b) {
    if (is_number(a) && !is_number(b)) a = widen(a, b);
    if (is_number(b) && !is_number(a)) b = widen(b, a);
    assert(a.m == b.m && a.n == b.n);
    for (int i = 0; i < entries(a); i++) a.v[i] += b.v[i];
    return a;
}

blk blk_mul(blk a, blk b) {
    if (is_number(a)) return blk_scale(a.v[0], b);
    if (is_number(b)) return blk_scale(b.v[0], a);
    assert(a.n == b.m);
    blk c = {a.m, b.n, {0, 0, 0, 0}};
    for (int i = 0; i < a.m; i++)
        for (int j = 0; j < b.n; j++)
            for (int k = 0; k < a.n; k++) c.v[i * b.n + j] += a.v[i * a.n + k] * b.v[k * b.n + j];
    return c;
}

blk blk_transpose(blk a) {
    if (is_number(a)) return a;
    blk t = {a.n, a.m, {0, 0, 0, 0}};
    for (int i = 0; i < a.m; i++)
        for (int j = 0; j < a.n; j++) t.v[j * a.m + i] = a.v[i * a.n + j];
    return t;
}

blk blk_inverse(blk a) {
    if (is_number(a)) return blk_real(1 / a.v[0]);
    assert(a.m == 2 && a.n == 2);
    const double det = a.v[0] * a.v[3] - a.v[1] * a.v[2];
    return blk_scale(1 / det, blk_2x2(a.v[3], -a.v[1], -a.v[2], a.v[0]));
}

/* With tau half the trace, N = X - tau I has N^2 = q I, so exp X = e^tau (c I + k N). Near q = 0,
   where critical damping sits, c and k by their series: X is never diagonalised. */
blk blk_exp(blk x) {
    if (is_number(x)) return blk_real(exp(x.v[0]));
    assert(x.m == 2 && x.n == 2);
    const double tau = (x.v[0] + x.v[3]) / 2;
    const double a = (x.v[0] - x.v[3]) / 2, q = a * a + x.v[1] * x.v[2], r = sqrt(fabs(q));
    double c = 1 + q / 2 + q * q / 24 + q * q * q / 720;
    double k = 1 + q / 6 + q * q / 120 + q * q * q / 5040;
    if (q >= 1e-4) {
        c = cosh(r);
        k = sinh(r) / r;
    } else if (q <= -1e-4) {
        c = cos(r);
        k = sin(r) / r;
    }
    return blk_scale(exp(tau), blk_2x2(c + k * a, k * x.v[1], k * x.v[2], c - k * a));
}

bool blk_is_zero(blk a) {
    for (int i = 0; i < entries(a); i++)
        if (a.v[i] != 0) return false;
    return true;
}

bool blk_is_one(blk a) {
    if (is_number(a)) return a.v[0] == 1;
    return a.m == 2 && a.n == 2 && a.v[0] == 1 && a.v[1] == 0 && a.v[2] == 0 && a.v[3] == 1;
}

bool blk_is_finite(blk a) {
    for (int i = 0; i < entries(a); i++)
        if (!isfinite(a.v[i])) return false;
    return true;
}
