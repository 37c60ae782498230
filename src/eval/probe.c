/* Making of probes; see the header. */
#include "eval/probe.h"

size_t probe_most(size_t dim) {
    size_t n = 1;
    while (n < dim) n *= 2;
    return n;
}

double probe_weight(const probes *p) {
    return p->kind == PROBE_EXACT ? 1 : 1 / (double)p->count;
}

/* Sylvester: entry (k, i) is -1 to the number of common bits of k and i. */
static double sylvester(size_t k, size_t i) {
    bool odd = false;
    for (size_t common = k & i; common; common &= common - 1) odd = !odd;
    return odd ? -1 : 1;
}

void probe_fill(const probes *p, uint64_t sample, size_t draw, size_t k, double *v) {
    if (p->kind == PROBE_EXACT) {
        for (size_t i = 0; i < p->dim; i++) v[i] = i == k ? 1 : 0;
        return;
    }
    /* all rows of one Hadamard matrix share their flips */
    const size_t key = p->kind == PROBE_HADAMARD ? draw : draw * p->count + k;
    noise_normals(p->seed, DRAW_PROBE, (uint32_t)key, sample, 0, p->dim, v);
    if (p->kind == PROBE_GAUSSIAN) return;
    for (size_t i = 0; i < p->dim; i++) {
        v[i] = v[i] < 0 ? -1 : 1;
        if (p->kind == PROBE_HADAMARD) v[i] *= sylvester(k, i);
    }
}
