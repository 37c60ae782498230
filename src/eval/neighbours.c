/* Precision and recall: the part of generated samples inside the union of balls around real ones, and
 * the other way round; a ball reaches to the k-th nearest neighbour in its own set (T. Kynkaanniemi
 * et al., arXiv 1904.06991, equations 1 and 2: closed balls). Density: how many of the real balls
 * hold a generated sample, over k, on average; coverage: the part of real balls that hold one
 * (M. F. Naeem et al., arXiv 2002.09797, equations 2 and 3; open balls, as in the authors' code).
 *
 * A comparison that rounding could turn is made again with distances by differences, so that ties
 * come out as they should, and alike on every machine. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "eval/pairs.h"

/* ---- nearest neighbours ---------------------------------------------------------------------- */

typedef struct {
    double distance, direct; /* squared, as computed by product and by differences */
} neighbour;

typedef struct {
    size_t k;
    neighbour *nearest; /* [n][k] ascending */
} neighbourhood;

static void insert(neighbourhood *h, size_t row, const pairs *p, size_t i, size_t j) {
    neighbour *const list = h->nearest + row * h->k;
    const double distance = p->value[i * p->nj + j];
    if (!(distance < list[h->k - 1].distance)) return;
    size_t at = h->k - 1;
    for (; at > 0 && distance < list[at - 1].distance; at--) list[at] = list[at - 1];
    list[at] = (neighbour){distance, pairs_direct(p, i, j)};
}

static void near_tile(void *user, const pairs *p) {
    neighbourhood *const h = user;
    for (size_t i = 0; i < p->ni; i++)
        for (size_t j = 0; j < p->nj; j++) {
            if (p->i + i == p->j + j) continue;
            insert(h, p->i + i, p, i, j);
            if (p->i != p->j) insert(h, p->j + j, p, i, j);
        }
}

static dfl_status find_neighbours(pairs *p, const row_set *rows, size_t k, neighbourhood *out) {
    *out = (neighbourhood){.k = k};
    out->nearest = mem_array(mem_product(rows->n, k, 1), sizeof *out->nearest);
    if (!out->nearest) return fail_memory();
    for (size_t i = 0; i < rows->n * k; i++) out->nearest[i] = (neighbour){INFINITY, INFINITY};
    return pairs_each(p, PAIRS_DISTANCE, rows, NULL, near_tile, out);
}

static double radius(const neighbourhood *h, size_t row, size_t k) {
    return h->nearest[row * h->k + k - 1].direct;
}

/* ---- balls ----------------------------------------------------------------------------------- */

typedef struct {
    neighbourhood real, generated;
    size_t k_precision, k_density;
    bool *recalled, *covered; /* [real] inside a generated ball; holds a generated sample */
    bool *precise;            /* [generated] inside a real ball */
    uint64_t dense;           /* pairs of a real ball and a generated sample in it */
} balls;

/* Which side of the radius, all squared: -1 inside, 0 on it, 1 outside. */
static int place(const pairs *p, size_t i, size_t j, double reach) {
    const double rounding =
        4 * (double)(p->d + 4) * DBL_EPSILON * (p->norm_left[i] + p->norm_right[j]);
    double distance = p->value[i * p->nj + j];
    if (fabs(distance - reach) <= rounding) distance = pairs_direct(p, i, j);
    return (distance > reach) - (distance < reach);
}

static void ball_tile(void *user, const pairs *p) {
    balls *const b = user;
    for (size_t i = 0; i < p->ni; i++) {
        const size_t r = p->i + i;
        const double near = radius(&b->real, r, b->k_precision);
        const double far = radius(&b->real, r, b->k_density);
        for (size_t j = 0; j < p->nj; j++) {
            const size_t g = p->j + j;
            if (place(p, i, j, near) <= 0) b->precise[g] = true;
            if (place(p, i, j, radius(&b->generated, g, b->k_precision)) <= 0)
                b->recalled[r] = true;
            if (place(p, i, j, far) < 0) {
                b->covered[r] = true;
                b->dense++;
            }
        }
    }
}

static double part_of(const bool *set, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += set[i];
    return (double)count / (double)n;
}

static dfl_status count_balls(pairs *p, const row_set *real, const row_set *generated, balls *b,
                              prdc_result *out) {
    const size_t nr = real->n, ng = generated->n;
    const size_t most = b->k_precision > b->k_density ? b->k_precision : b->k_density;
    b->recalled = mem_array(nr, sizeof(bool));
    b->covered = mem_array(nr, sizeof(bool));
    b->precise = mem_array(ng, sizeof(bool));
    if (!b->recalled || !b->covered || !b->precise) return fail_memory();
    TRY(find_neighbours(p, real, most, &b->real));
    TRY(find_neighbours(p, generated, b->k_precision, &b->generated));
    TRY(pairs_each(p, PAIRS_DISTANCE, real, generated, ball_tile, b));
    out->precision = part_of(b->precise, ng);
    out->recall = part_of(b->recalled, nr);
    out->density = (double)b->dense / ((double)b->k_density * (double)ng);
    out->coverage = part_of(b->covered, nr);
    return DFL_OK;
}

dfl_status prdc(const features *real, const features *generated, const prdc_options *o,
                const metric_watch *watch, prdc_result *out) {
    balls b = {.k_precision = o->k_precision ? o->k_precision : PRECISION_NEIGHBOURS,
               .k_density = o->k_density ? o->k_density : DENSITY_NEIGHBOURS};
    const size_t most = b.k_precision > b.k_density ? b.k_precision : b.k_density;
    *out = (prdc_result){0};
    if (most > NEIGHBOURS_MAX)
        return fail(DFL_E_RANGE, "%zu nearest neighbours; at most %d are allowed", most,
                    NEIGHBOURS_MAX);
    TRY(features_check_pair(real, generated, most + 1));
    pairs p;
    TRY(pairs_new(real->d, &p));
    const row_set rows = {real, NULL, real->n}, others = {generated, NULL, generated->n};
    p.watch = watch;
    p.total = 2 * pairs_work(real->n) + pairs_work(generated->n);
    const dfl_status status = count_balls(&p, &rows, &others, &b, out);
    pairs_free(&p);
    free(b.real.nearest);
    free(b.generated.nearest);
    free(b.recalled);
    free(b.covered);
    free(b.precise);
    return status;
}
