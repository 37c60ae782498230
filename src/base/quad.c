/* Gauss-Legendre quadrature and Lagrange bases. */
#include "base/base.h"

#include <math.h>

enum { POINTS_MAX = 48, VALUES_MAX = 16 };

/* Node i (counted from the left, in (-1, 1)) and weight of the n-point rule by Newton's iteration
   on the Legendre polynomial, from Tricomi's first guess. It costs far less than the integrands it
   is used for, and no table can be mistyped. */
static void gauss_node(int n, int i, double *node, double *weight) {
    const double pi = 3.14159265358979323846;
    double x = -cos(pi * (i + 0.75) / (n + 0.5)), slope = 0;
    for (int iteration = 0; iteration < 10; iteration++) {
        double p0 = 1, p1 = x;
        for (int k = 2; k <= n; k++) {
            const double p2 = ((2 * k - 1) * x * p1 - (k - 1) * p0) / k;
            p0 = p1;
            p1 = p2;
        }
        slope = n * (x * p1 - p0) / (x * x - 1);
        const double move = p1 / slope;
        x -= move;
        if (fabs(move) < 1e-16) break;
    }
    *node = x;
    *weight = 2 / ((1 - x * x) * slope * slope);
}

void quad_gauss_n(void (*f)(double x, void *user, double *out), void *user, double lo, double hi,
                  int n, int m, double *sum) {
    const double middle = (lo + hi) / 2, half = (hi - lo) / 2;
    for (int k = 0; k < m; k++) sum[k] = 0;
    for (int i = 0; i < n && i < POINTS_MAX; i++) {
        double node, weight, out[VALUES_MAX];
        gauss_node(n, i, &node, &weight);
        f(middle + half * node, user, out);
        for (int k = 0; k < m; k++) sum[k] += half * weight * out[k];
    }
}

double quad_gauss(double (*f)(double x, void *user), void *user, double lo, double hi, int n) {
    const double middle = (lo + hi) / 2, half = (hi - lo) / 2;
    double sum = 0;
    for (int i = 0; i < n && i < POINTS_MAX; i++) {
        double node, weight;
        gauss_node(n, i, &node, &weight);
        sum += weight * f(middle + half * node, user);
    }
    return half * sum;
}

double quad_lagrange(const double *node, int n, int j, double x) {
    double product = 1;
    for (int k = 0; k < n; k++)
        if (k != j) product *= (x - node[k]) / (node[j] - node[k]);
    return product;
}
