/* Quantiles of the beta distribution. */
#include <math.h>

#include "base/base.h"

/* Up to here from below, from here on from above, which costs digits of small probabilities. */
static const double split = 0.9;

/* The probability below x <= split: x^a (1 - x)^b / (a B(a, b)) sum_n x^n (a + b)_n / (a + 1)_n (DLMF
   8.17.8), whose terms are all positive. */
static double below(double x, double a, double b) {
    double sum = 1, term = 1;
    for (int n = 0; term > 1e-17 * sum; n++) sum += term *= x * (a + b + n) / (a + 1 + n);
    return pow(x, a) * pow(1 - x, b) * sum / a * tgamma(a + b) / (tgamma(a) * tgamma(b));
}

/* x < hi to its last bit. */
static double bisect(double p, double a, double b, double hi) {
    double lo = 0, middle;
    while (middle = (lo + hi) / 2, lo < middle && middle < hi)
        *(below(middle, a, b) < p ? &lo : &hi) = middle;
    return middle;
}

double beta_quantile(double p, double a, double b) {
    if (!(p > 0)) return 0;
    if (!(p < 1)) return 1;
    if (below(split, a, b) < p) return 1 - bisect(1 - p, b, a, 1 - split);
    return bisect(p, a, b, split);
}
