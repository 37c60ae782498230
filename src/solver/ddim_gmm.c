/* DDIM-GMM: DDIM whose fresh noise comes from a Gaussian mixture with the same first two moments.
 *
 *   x_s = a_s x0 + kept b_s eps + delta_k + A_k z,   A_k A_k^T = sig^2 I - Delta_k
 *
 * Component k is picked per sample with probability pi_k. sig and kept are as in DDIM(eta), or for
 * kernel=rfim (rectified-flow form, any process) sig = eta b_s, kept = sqrt(1 - eta^2).
 *
 * Gabbur, arXiv 2311.04938: offsets rand, ortho; covariances diag, vub (VUB* is vub with shared=1).
 * rand breaks sum pi_k delta_k = 0 by normalising each offset alone; rand_c does not. diag and vub
 * match no off-diagonal moments; full and rank1 match all. iso is the control: one Gaussian with
 * the added power, sig^2 + s^2 (1 - 1/K)/D. s is absolute, or relative: s = rho sqrt(K) sig, at rho
 * = 1 the largest legal one for ortho with full. mode=exact refuses whatever does not match both
 * moments; mode=paper does as published, eta = 0 included, where the kernel is K points and moments
 * are not matched. The last step is plain DDIM unless gmm_last=1. One evaluation per step; order 1.
 */
#include "solver/solver.h"

#include <math.h>
#include <stdlib.h>

enum { ISO = COV_RANK1 + 1 };

static const opt_row options[] = {
    {"eta", OPT_REAL, "0.5", 0, 1, NULL, "part of the noise drawn afresh"},
    {"kernel", OPT_CHOICE, "ddim", 0, 0, "ddim|rfim", "how eta divides the noise"},
    {"K", OPT_INT, "8", 1, 4096, NULL, "components of the mixture"},
    {"pi", OPT_LIST, NULL, 0, 1, NULL, "their probabilities; equal if not given"},
    {"offsets", OPT_CHOICE, "ortho", 0, 0, "rand|rand_c|ortho", "law of the offsets"},
    {"covariance", OPT_CHOICE, "full", 0, 0, "diag|vub|full|rank1|iso",
     "covariance of a component"},
    {"s", OPT_REAL, NULL, 0, 1e6, NULL, "length of the offsets"},
    {"rho", OPT_REAL, NULL, 0, 1e3, NULL, "the same in units of sqrt(K) sig; 1 if s is not given"},
    {"shared", OPT_BOOL, "0", 0, 0, NULL, "one set of offsets for all steps"},
    {"gmm_last", OPT_BOOL, "0", 0, 0, NULL, "offsets in the last step, too"},
    {"mode", OPT_CHOICE, "paper", 0, 0, "paper|exact", "exact: refuse what does not match moments"},
    {0},
};

/* rfim draws the same part of the noise afresh however short the step: no order is left. */
static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const bool rfim = opt_choice(o, "kernel") == 1 && opt_real(o, "eta") > 0;
    return (solver_claims){.order = rfim ? 0 : 1,
                           .from = 40,
                           .to = 320,
                           .mixes = opt_choice(o, "covariance") != ISO,
                           .least = rfim,
                           .stochastic = true};
}

/* What of the priors the kernels need. */
typedef struct {
    int K;
    double *pi; /* [K] */
} priors;

static dfl_status read_priors(const opts *o, priors *out) {
    const opt_value *given = opt_get(o, "pi");
    const int K = (int)opt_int(o, "K");
    if (given->set && given->nlist != (size_t)K)
        return fail(DFL_E_COMBINATION, "solver ddim_gmm: pi has %zu entries, K is %d", given->nlist,
                    K);
    *out = (priors){K, mem_array((size_t)K, sizeof(double))};
    if (!out->pi) return fail_memory();
    double sum = 0;
    for (int k = 0; k < K; k++) {
        out->pi[k] = given->set ? given->list[k] : 1.0 / K;
        sum += out->pi[k];
        if (!(out->pi[k] > 0))
            return fail(DFL_E_RANGE, "solver ddim_gmm: every pi must be above 0");
    }
    if (fabs(sum - 1) > 1e-9)
        return fail(DFL_E_RANGE, "solver ddim_gmm: pi sums to %s, not to 1", real_text(sum).s);
    return DFL_OK;
}

/* The largest rho at which no variance is negative, whatever is drawn. With S = sum_k pi_k delta_k
   delta_k^T, full and diag need lambda_max(S) <= K min(pi) sig^2, rank1 |delta_k| <= sig, and vub
   s^2 max(pi) <= K min(pi) sig^2; of ortho lambda_max(S) <= s^2 max(pi) and |delta_k|^2 = s^2 (1 -
   2 pi_k + sum pi^2), of rand_c lambda_max(S) <= tr S = s^2 and pi_k |delta_k|^2 <= s^2, of rand
   lambda_max(S) <= tr S = s^2 and |delta_k| = s. */
static double largest_rho(const opts *o, const priors *p) {
    if (p->K == 1) return 1;
    const int law = opt_choice(o, "offsets") + OFFSETS_RAND;
    const int covariance = opt_choice(o, "covariance");
    double least = 1, most = 0, squares = 0;
    for (int k = 0; k < p->K; k++) {
        least = fmin(least, p->pi[k]);
        most = fmax(most, p->pi[k]);
        squares += p->pi[k] * p->pi[k];
    }
    if (covariance == COV_VUB || (covariance != COV_RANK1 && law == OFFSETS_ORTHO))
        return sqrt(least / most);
    if (covariance != COV_RANK1) return sqrt(least);
    if (law == OFFSETS_ORTHO) return 1 / sqrt(p->K * (1 - 2 * least + squares));
    return law == OFFSETS_RAND ? 1 / sqrt(p->K) : sqrt(least / p->K);
}

/* Both moments match only so. */
static dfl_status check_exact(const opts *o, const priors *p) {
    const int covariance = opt_choice(o, "covariance");
    const double rho = opt_get(o, "rho")->set ? opt_real(o, "rho") : 1;
    if (opt_choice(o, "mode") == 0) return DFL_OK;
    if (opt_real(o, "eta") == 0)
        return fail(DFL_E_COMBINATION,
                    "solver ddim_gmm: mode=exact needs eta above 0; at 0 a mixture "
                    "adds variance");
    if (opt_choice(o, "offsets") == OFFSETS_RAND - 1 ||
        (covariance != COV_FULL && covariance != COV_RANK1))
        return fail(DFL_E_COMBINATION,
                    "solver ddim_gmm: mode=exact needs offsets=ortho or rand_c, and "
                    "covariance=full or rank1");
    const double limit = largest_rho(o, p);
    if (!opt_get(o, "s")->set && rho > limit * (1 + 1e-12))
        return fail(DFL_E_RANGE,
                    "solver ddim_gmm: mode=exact: rho=%s is above %s, where a "
                    "variance would be negative",
                    real_text(rho).s, real_text(limit).s);
    return DFL_OK;
}

/* The same of an absolute scale, which has a limit of its own in every step. */
static dfl_status check_exact_step(const opts *o, const priors *p, double s, double sigma,
                                   double t) {
    const double limit = largest_rho(o, p) * sqrt(p->K) * sigma;
    if (opt_choice(o, "mode") == 0 || !opt_get(o, "s")->set || s <= limit * (1 + 1e-12))
        return DFL_OK;
    return fail(DFL_E_RANGE,
                "solver ddim_gmm: mode=exact: s=%s is above %s, where a variance would be "
                "negative in the step to t=%s; choose a smaller s, or rho, which follows the "
                "steps",
                real_text(s).s, real_text(limit).s, real_text(t).s);
}

/* Whether a component's variance may fall below zero, where it is cut. */
static bool may_cut(const opts *o, const priors *p, double s, double sigma) {
    return s > largest_rho(o, p) * sqrt(p->K) * sigma * (1 + 1e-12);
}

/* What mode=paper does without a word in the paper. */
static void warn_cut(const problem *pb, rows *r, int cut) {
    if (cut == 0) return;
    if (opt_real(pb->o, "eta") == 0)
        rows_warn(r, "ddim_gmm: at eta=0 there is no noise whose variance the mixture could take: "
                     "every step adds to the variance, moments are not matched");
    else
        rows_warn(r,
                  "ddim_gmm: in %d of %d steps the offsets may be longer than the noise allows; "
                  "variances below 0 are cut to 0, and moments are then not matched",
                  cut, pb->steps);
}

static double scale_of(const opts *o, int K, double sigma) {
    if (opt_get(o, "s")->set) return opt_real(o, "s");
    return (opt_get(o, "rho")->set ? opt_real(o, "rho") : 1) * sqrt(K) * sigma;
}

/* delta_k + A_k z as a value of its own. */
static val draw_mixture(const problem *pb, rows *r, const priors *p, double s, double sigma,
                        uint32_t table) {
    mix_kernel k = {.K = p->K,
                    .pi = mem_array((size_t)p->K, sizeof(double)),
                    .law = (offset_law)(opt_choice(pb->o, "offsets") + OFFSETS_RAND),
                    .table = table,
                    .s = s,
                    .sigma = sigma,
                    .covariance = (mix_covariance)opt_choice(pb->o, "covariance")};
    if (!k.pi) {
        rows_fail(r, fail_memory());
        return 0;
    }
    for (int i = 0; i < p->K; i++) k.pi[i] = p->pi[i];
    return rows_mix(r, &k);
}

/* The fresh part of step n; 0 if there is none. */
static bool fresh_part(const problem *pb, rows *r, const priors *p, int n, double sigma, int *cut,
                       term *out) {
    const double s = scale_of(pb->o, p->K, sigma);
    const bool last = n == pb->steps - 1 && !opt_bool(pb->o, "gmm_last");
    const bool plain = last || s == 0 || p->K == 1;
    if (opt_choice(pb->o, "covariance") == ISO && !plain) {
        if (pb->dim == 0)
            rows_fail(r,
                      fail(DFL_E_COMBINATION, "solver ddim_gmm: covariance=iso needs the model's "
                                              "sample shape"));
        const double added = s * s * (1 - 1.0 / p->K) / (double)(pb->dim ? pb->dim : 1);
        *out = (term){rows_noise(r), blk_real(sqrt(sigma * sigma + added))};
        return true;
    }
    if (plain) {
        if (!(sigma > 0)) return false;
        *out = (term){rows_noise(r), blk_real(sigma)};
        return true;
    }
    rows_fail(r, check_exact_step(pb->o, p, s, sigma, pb->t[n + 1]));
    *cut += may_cut(pb->o, p, s, sigma);
    const uint32_t table = opt_bool(pb->o, "shared") ? 0 : (uint32_t)n;
    *out = (term){draw_mixture(pb, r, p, s, sigma, table), blk_real(1)};
    return true;
}

static val fill(const problem *pb, rows *r, val x) {
    const double eta = opt_real(pb->o, "eta");
    const bool rfim = opt_choice(pb->o, "kernel") == 1;
    priors p = {0};
    int cut = 0;
    if (opt_get(pb->o, "s")->set && opt_get(pb->o, "rho")->set)
        rows_fail(r,
                  fail(DFL_E_COMBINATION, "solver ddim_gmm: s and rho are both given; choose one"));
    rows_fail(r, read_priors(pb->o, &p));
    if (r->status == DFL_OK) rows_fail(r, check_exact(pb->o, &p));
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
        const scalar_at to = process_at(pb->process, pb->t[n + 1]);
        const double q = to.rho / process_at(pb->process, pb->t[n]).rho;
        const double fresh = rfim ? eta : eta * sqrt((1 - q) * (1 + q));
        term noise;
        const double kept = solver_kept(eta, rfim ? 0 : q);
        const val mean = solver_first_order(pb, r, x, n, kept, 0);
        x = mean;
        if (fresh_part(pb, r, &p, n, fresh * to.b, &cut, &noise)) {
            const term terms[] = {{mean, blk_real(1)}, noise};
            x = rows_lin(r, terms, 2);
        }
        rows_step(r, x, pb->t[n + 1], 1);
    }
    warn_cut(pb, r, cut);
    free(p.pi);
    return x;
}

static const char *const variants[] = {"K=2,offsets=ortho,covariance=full,mode=exact",
                                       "K=2,offsets=ortho,covariance=rank1,mode=exact,rho=0.5",
                                       "K=2,offsets=rand_c,covariance=diag,s=0.1",
                                       "K=1,eta=1",
                                       "kernel=rfim,K=1,eta=0.3",
                                       "kernel=rfim,K=2,covariance=full",
                                       NULL};

const solver_row solver_ddim_gmm = {
    .is = {"ddim_gmm", "DDIM with a Gaussian-mixture kernel of matched moments", "arXiv:2311.04938",
           options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .variants = variants,
    .checks = "mode",
    .fill = fill,
};
