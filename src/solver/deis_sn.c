/* DEIS-SN: DEIS on the score normalised by statistics of the model.
 *
 *   R(t) = mean |eps| at time t, from offline runs;  E_n = eps_n / R(t_n)
 *   x_{n+1} = (a_{n+1}/a_n) x_n + sum_j C_nj E_{n-j},   C_nj = a_{n+1} int R l_j drho
 *
 * Xia et al., "Score Normalization for a Faster Diffusion Exponential Integrator Sampler", arXiv
 * 2311.00157, as released in mtkresearch/Diffusion-DEIS-SN. A constant R is DEIS. Statistic k of n
 * was measured at t = (k + 1)/n; the released code puts it at k/(n - 1) (abscissa=released, the
 * default, for comparison with published figures), `consistent` puts it where it was measured. The
 * first `clip` statistics are replaced by the next one, as there (5 of 1000 for CIFAR-10). Between
 * them R is linear in t, as there, or with interpolation=log, its logarithm is.
 * One evaluation per step; orders as DEIS. A heuristic: not exact even where the network knows x_0.
 */
#include "solver/solver.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "solver/deis_weights.h"

enum { STATS_MAX = 100000, STATS_BYTES = 1 << 24 };

static const char in_folder[] = "score_statistics.json";

static const opt_row options[] = {
    {"stats", OPT_TEXT, NULL, 0, 0, NULL,
     "file by driftless stats; else that of the model's folder"},
    {"order", OPT_INT, "3", 0, DEIS_ORDER_MAX, NULL, "degree of the polynomial"},
    {"abscissa", OPT_CHOICE, "released", 0, 0, "released|consistent", "times of the statistics"},
    {"interpolation", OPT_CHOICE, "linear", 0, 0, "linear|log", "of them or of their logarithms"},
    {"quadrature", OPT_CHOICE, "exact", 0, 0, "exact|riemann", "riemann: as in the released code"},
    {"clip", OPT_INT, NULL, 0, STATS_MAX, NULL,
     "statistics next to t = 0 that are replaced; 5 in 1000 if not given"},
    {"force", OPT_BOOL, "0", 0, 0, NULL, "take another model's statistics"},
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const int order = (int)opt_int(o, "order");
    return (solver_claims){.order = order + 1, .limit = 1, .from = 10, .to = 40};
}

typedef struct {
    double *value; /* [n] */
    size_t n;
} statistics;

static dfl_status check_model(const problem *pb, const json_in *in, const char *path) {
    const char *digest, *mine = pb->digest;
    char hex[DIGEST_HEX];
    TRY(json_get_text(in, "network_sha256", &digest));
    if (opt_bool(pb->o, "force")) return DFL_OK;
    if (!mine && pb->network) {
        TRY(digest_file(pb->network, hex));
        mine = hex;
    }
    if (mine && strcmp(digest, mine) == 0) return DFL_OK;
    if (!*digest)
        return fail(DFL_E_COMBINATION,
                    "solver deis_sn: %s names no network; gather this model's statistics with "
                    "driftless stats, or say force=1",
                    path);
    return fail(
        DFL_E_COMBINATION,
        "solver deis_sn: %s holds statistics of another network (sha256 %.12s...); gather this "
        "model's with driftless stats, or say force=1",
        path, digest);
}

static dfl_status read_object(const problem *pb, const json_in *in, const char *path,
                              statistics *out) {
    TRY(json_check_format(in, "driftless-score-statistics/1"));
    TRY(check_model(pb, in, path));
    TRY(json_get_reals(in, "mean_abs_eps", STATS_MAX, &out->value, &out->n));
    if (out->n < 2) return fail(DFL_E_RANGE, "%s: at least two statistics are needed", path);
    for (size_t i = 0; i < out->n; i++)
        if (!(out->value[i] > 0))
            return fail(DFL_E_RANGE, "%s: mean_abs_eps[%zu] is %g; all must be above 0", path, i,
                        out->value[i]);
    return DFL_OK;
}

static dfl_status read_path(const problem *pb, const char *path, statistics *out) {
    json_t *root;
    json_in in;
    dfl_status status = json_read(path, STATS_BYTES, &root, &in);
    if (status == DFL_OK) status = read_object(pb, &in, path, out);
    json_decref(root);
    TRY(status);
    const opt_value *given = opt_get(pb->o, "clip");
    const size_t clip = given->set ? (size_t)given->number : (out->n * 5 + 500) / 1000;
    if (clip >= out->n)
        return fail(DFL_E_RANGE, "solver deis_sn: clip=%zu; %s holds %zu statistics", clip, path,
                    out->n);
    for (size_t k = 0; k < clip; k++) out->value[k] = out->value[clip];
    return DFL_OK;
}

static dfl_status read_statistics(const problem *pb, statistics *out) {
    const char *path = opt_text(pb->o, "stats");
    char *inside = NULL;
    if (path) return read_path(pb, path, out);
    if (!pb->folder)
        return fail(DFL_E_KEY, "solver deis_sn: stats=FILE is missing; driftless stats makes it");
    dfl_status status = file_inside(pb->folder, in_folder, &inside);
    if (status == DFL_OK) status = read_path(pb, inside, out);
    if (status == DFL_E_IO)
        status = fail_in(status, "solver deis_sn: without stats=FILE the model's folder must hold "
                                 "statistics (driftless stats makes them)");
    free(inside);
    return status;
}

static val fill(const problem *pb, rows *r, val x) {
    statistics stats = {0};
    rows_fail(r, read_statistics(pb, &stats));
    const bool released = opt_choice(pb->o, "abscissa") == 0;
    deis_basis b = {.p = pb->process,
                    .riemann = opt_choice(pb->o, "quadrature") == 1,
                    .factor = {.value = stats.value, .n = stats.n}};
    b.factor.geometric = opt_choice(pb->o, "interpolation") == 1;
    b.factor.slope = (double)stats.n - (released ? 1 : 0);
    b.factor.shift = released ? 0 : 1;
    const int order = (int)opt_int(pb->o, "order");
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
        deis_begin(&b, pb, n, order, rows_eps(r, x, pb->t[n]));
        x = deis_extrapolate(&b, pb, r, x, n);
        rows_step(r, x, pb->t[n + 1], b.nodes);
    }
    free(stats.value);
    return x;
}

static const char *const variants[] = {NULL};

const solver_row solver_deis_sn = {
    .is = {"deis_sn", "DEIS on the score normalised by the model's statistics", "arXiv:2311.00157",
           options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .variants = variants,
    .checks = "force",
    .fill = fill,
};
