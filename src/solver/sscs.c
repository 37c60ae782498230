/* SSCS: the symmetric splitting of the reverse SDE in phase space into an Ornstein-Uhlenbeck part,
 * solved exactly, and the score. One step from t to s, h = t - s:
 *
 *   OU over h/2;   z <- z + h (G G^T score(z, t) + beta diag(Gamma, nu) z);   OU over h/2
 *
 * Dockhorn et al., arXiv 2112.07068, for CLD; as in PSLD's released code (arXiv 2303.01748). There
 * both halves take the integral of beta over [t - h/2, t]; `second_half=official` does that,
 * `exact` takes [s, t - h/2] for the second, which is the same for a constant beta. numerical_eps
 * is added to the OU covariances, as there. One evaluation and two draws per step. */
#include "solver/solver.h"
#include "process/phase.h"
#include "solver/symbol.h"

static const opt_row options[] = {
    {"second_half", OPT_CHOICE, "exact", 0, 0, "exact|official", "time of the second OU half-step"},
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    (void)o, (void)p;
    return (solver_claims){.order = 1, .from = 80, .to = 320, .stochastic = true};
}

static void half_step(const process *p, rows *r, symbol *z, double from, double to) {
    const double D = phase_integral(p, from) - phase_integral(p, to);
    const phase_cov c = phase_widened(p, phase_reverse_covariance(p, D));
    symbol_apply(z, phase_reverse_mean(p, D));
    symbol_add(z, phase_factor(c, false), rows_noise(r));
}

static val fill(const problem *pb, rows *r, val start) {
    const process *p = pb->process;
    const phase_par *par = phase_parameters(p);
    const bool official = opt_choice(pb->o, "second_half") == 1;
    symbol z = symbol_of(start);
    for (int n = 0; n < pb->steps; n++) {
        const double t = pb->t[n], s = pb->t[n + 1], h = t - s;
        const double kick = h * phase_beta(p, t);
        half_step(p, r, &z, t, t - h / 2);
        const val y = rows_predict(r, symbol_write(&z, r), t);
        symbol_apply(&z, blk_2x2(1 + kick * par->Gamma, 0, 0, 1 + kick * par->nu));
        symbol_add(&z, blk_scale(kick, blk_mul(phase_noise1(p), rows_score_map(r, t))), y);
        if (official)
            half_step(p, r, &z, t, t - h / 2);
        else
            half_step(p, r, &z, t - h / 2, s);
        rows_step(r, symbol_write(&z, r), s, 1);
    }
    return symbol_write(&z, r);
}

const solver_row solver_sscs = {
    .is = {"sscs", "symmetric splitting with an exact OU part, phase space", "arXiv:2112.07068",
           options},
    .spaces = SOLVER_PHASE,
    .claims = claims,
    .fill = fill,
};
