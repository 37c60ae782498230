/* In the released files phi rises from phi1(3) to the middle of the run and falls back: with the
   list P[j] = phi1(j + 3), j < n, an index per step, negative ones counting from the end as in
   Python. */
#include "solver/scire_phi.h"

#include <math.h>

double scire_phi1(int m) {
    if (m == 0) return -expm1(-1);
    double sum = 0, inverse = 1;
    for (int k = 1; k <= m && k <= 30; k++) {
        inverse /= k;
        sum += k % 2 ? inverse : -inverse;
    }
    return sum;
}

/* The sd list has no entry for a step beyond the K = floor(budget/order) ones before K = 2; a budget
   of order 3 always has such a step, another only if it does not divide. The main list begins at
   K = 1. */
static int least_budget(const scire_phi *s) {
    return s->order * (s->profile == SCIRE_SD && s->order == 3 ? 2 : s->steps + 1);
}

static dfl_status entry(const scire_phi *s, int length, int j, double *phi) {
    const int at = j < 0 ? length + j : j;
    if (at < 0 || at >= length)
        return fail(
            DFL_E_RANGE,
            "solver scire: the released %s file has no factor for so small a budget; take nfe=%d "
            "or more, or profile=paper",
            s->profile == SCIRE_SD ? "stable diffusion" : "main", least_budget(s));
    *phi = scire_phi1(at + 3);
    return DFL_OK;
}

dfl_status scire_phi_single(const scire_phi *s, int i, double *phi) {
    const int K = s->steps;
    *phi = s->constant;
    if (s->fixed || s->profile == SCIRE_PAPER) return DFL_OK;
    if (s->profile == SCIRE_SD) return entry(s, K, i < K / 2 ? 2 * i + 1 : 2 * (K - i - 1), phi);
    return entry(s, K, i < K / 2 ? 2 * i : i == K / 2 ? -1 : 2 * (K - i) - 1, phi);
}

int scire_multistep_order(const scire_phi *s, int j, bool lower_final) {
    const int left = s->steps + 1 - j;
    const bool lower = lower_final && (s->profile == SCIRE_MAIN || s->steps < 10);
    int order = j < s->order ? j : s->order;
    if (j >= s->order && lower && left < order) order = left;
    return order;
}

dfl_status scire_phi_multi(const scire_phi *s, int j, double *phi) {
    const int n = s->steps, p = s->order;
    *phi = s->constant;
    if (s->fixed) return DFL_OK;
    if (s->profile == SCIRE_SD) {
        if (j < p) return entry(s, n, n - j, phi);
        const int half = (n + 1 - p) / 2;
        return entry(s, n, j < half + p ? 2 * (j - p) + 1 : 2 * (p + 2 * half - j), phi);
    }
    if (j < p) return entry(s, n + 1, 2 * j - 1, phi);
    return entry(s, n + 1, j < n / 2 ? 2 * (j - p) + 1 : j == n / 2 ? -1 : 2 * (n - j), phi);
}
