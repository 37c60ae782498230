/* Priors for tests. */
#include "support/priors.h"

#include <stdlib.h>

#include "check.h"
#include "prior/rows.h"

static void draw(size_t n, uint64_t key, double *out) {
    noise_normals(key, DFL_DRAW_START, 0, 0, 0, n, out);
}

prior *some_prior(kind which, int64_t classes, size_t d, size_t q) {
    prior *p;
    assert_ok(form_new(&(form_wish){which, d, which == KIND_GAUSS ? 1 : 3, q, classes}, &p));
    const size_t m = form_size(p, 'm');
    draw(p->k * m, 1, p->mean);
    for (size_t k = 0; k < p->k; k++) {
        p->weight[k] = p->k == 1 ? 1 : (double)(k + 1) / 6;
        p->label[k] = classes ? (int64_t)k % classes : -1;
    }
    for (size_t s = 0; p->cov && s < form_size(p, 's'); s++) {
        double *const r = calloc((d + 2) * d, sizeof *r), *const cov = p->cov + s * m * m;
        draw((d + 2) * m, 10 + s, r);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < m; j++)
                for (size_t l = 0; l < d + 2; l++)
                    cov[i * m + j] += 0.2 * r[l * m + i] * r[l * m + j];
        free(r);
    }
    if (p->factor) draw(p->k * d * q, 2, p->factor);
    for (size_t i = 0; p->psi && i < p->k * d; i++) p->psi[i] = 0.1 + 0.07 * (double)i;
    if (p->basis) {
        draw(d * d, 3, p->basis);
        rows_orthonormal(d, d, p->basis);
        draw(d, 4, p->center);
        for (size_t i = 0; i < d - q; i++) p->rest[i] = 0.3 + 0.1 * (double)i;
    }
    assert_ok(form_finish(p));
    return p;
}
