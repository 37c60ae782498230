/* Bootstrap: which rows a replicate takes, what distance they have, and how replicates spread. */
#include "eval/resample.h"

#include <math.h>
#include <stdlib.h>

enum { DRAW_RESAMPLE = 8 }; /* a kind of random number that no plan draws */

dfl_status features_root(const features *f, const uint32_t *index, gaussian_root *out) {
    moments m = {0};
    gaussian g = {0};
    dfl_status status = moments_new(f->d, &m);
    if (status == DFL_OK)
        status = index ? moments_add_index(&m, f, index, f->n) : moments_add(&m, f->x, f->n);
    if (status == DFL_OK) status = gaussian_of(&m, &g);
    if (status == DFL_OK) status = gaussian_root_of(&g, out);
    gaussian_free(&g);
    moments_free(&m);
    return status;
}

dfl_status distance_to(const gaussian_root *real, const features *f, const uint32_t *index,
                       double *out) {
    gaussian_root root = {0};
    dfl_status status = features_root(f, index, &root);
    if (status == DFL_OK) status = frechet_roots(&root, real, out);
    gaussian_root_free(&root);
    return status;
}

void resample(uint64_t seed, uint32_t replicate, size_t n, uint32_t *index) {
    for (size_t i = 0; i < n; i++) {
        const double u = noise_uniform(seed, DRAW_RESAMPLE, replicate, i);
        const size_t at = (size_t)(u * (double)n);
        index[i] = (uint32_t)(at < n ? at : n - 1);
    }
}

/* Linear between neighbours, as NumPy's default. */
static double quantile(const double *sorted, size_t n, double q) {
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    if (i + 1 >= n) return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

spread spread_of(double estimate, double *replicates, size_t n) {
    double mean = 0, sum = 0;
    for (size_t i = 0; i < n; i++) mean += replicates[i] / (double)n;
    for (size_t i = 0; i < n; i++) sum += (replicates[i] - mean) * (replicates[i] - mean);
    sort_reals(replicates, n);
    const double move = estimate - mean;
    return (spread){sqrt(sum / (double)(n - 1)), quantile(replicates, n, 0.025) + move,
                    quantile(replicates, n, 0.975) + move};
}
