/* Splitting integrators in phase space, deterministic and stochastic.
 *
 * A scheme is a word of solver/scheme.h; its moves and O in a step from t to s, h = t - s:
 *
 *   A      position:  x <- x + h beta/2 (w Gamma x - M^-1 m + w Gamma s_x)
 *   B, b   momentum, over h or h/2:  m <- m + h beta/2 (x + w nu m + w M nu s_m)
 *   O      exact OU, D = int beta over [s, t]:
 *          x <- e^(-Gamma D/2) x + sqrt(1 - e^(-lambda_s Gamma D)) xi_x
 *          m <- e^(-nu D/2) m + sqrt(M (1 - e^(-nu D))) xi_m
 *
 * w = 1 on the probability-flow ODE and 2 in the schemes with O, which together make up the reverse
 * SDE. Every letter uses the current x and m, and the score and beta of the latest evaluation.
 *
 * Pandey, Rudolph and Mandt, "Efficient Integrators for Diffusion Generative Models", arXiv
 * 2310.07894, sections 3.2 and 3.3. Their samplers' code is not public: the schemes are
 * reconstructed from the paper's descriptions ("naive" evaluates before each sub-step at time t,
 * "reduced" shares evaluations and closes at time s). Order 1. RVV's first-order term is so small
 * that it looks like order 1.6 at 40 steps of the quadratic grid, 1.4 at 80 and 1.1 at 320, and
 * like 1.6 up to 320 uniform steps. */
#include "solver/scheme.h"

static const char *const words[] = {"eBeA",  "eBA",     "ebeAeb", "ebAEb", "OeBeA",
                                    "eBeAO", "OebeAeb", "OeBA",   "eBAO",  "OebAEb"};

static const opt_row options[] = {
    {"scheme", OPT_CHOICE, "rvv", 0, 0, "nse|rse|nvv|rvv|noba|nbao|nobab|roba|rbao|robab",
     "order of the sub-steps; those with an o are stochastic"},
    {"lambda_s", OPT_REAL, "1", 0, 10, "auto", "scales the position noise; 1 is the true SDE"},
    {0},
};

static const char *word_of(const opts *o) {
    return words[opt_choice(o, "scheme")];
}

static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    return scheme_claims(word_of(o));
}

static int steps(const opts *o, const process *p, int nfe, bool to_zero) {
    (void)to_zero;
    return scheme_steps(word_of(o), phase_parameters(p), nfe);
}

static void move_position(const scheme *at, symbol *z, double c) {
    const double Gamma = at->par->Gamma;
    const blk score = rows_score_map(at->r, at->asked);
    symbol_apply(z, blk_2x2(1 + c * at->w * Gamma, -c * at->par->Minv, 0, 1));
    if (Gamma > 0) symbol_add(z, symbol_row(score, 0, c * at->w * Gamma), at->y);
}

static void kick_momentum(const scheme *at, symbol *z, double c) {
    const double nu = at->par->nu, M = at->par->M;
    const blk score = rows_score_map(at->r, at->asked);
    symbol_apply(z, blk_2x2(1, 0, c, 1 + c * at->w * nu));
    if (nu > 0) symbol_add(z, symbol_row(score, 1, c * at->w * M * nu), at->y);
}

static void move(const scheme *at, symbol *z, char letter) {
    const double h = at->t - at->s, c = h * phase_beta(at->pb->process, at->asked) / 2;
    switch (letter) {
    case 'A': move_position(at, z, c); break;
    case 'B': kick_momentum(at, z, c); break;
    default: kick_momentum(at, z, c / 2); break;
    }
}

static val fill(const problem *pb, rows *r, val start) {
    return scheme_fill(pb, r, start, word_of(pb->o), move);
}

const solver_row solver_splitting = {
    .is = {"splitting", "splitting integrators, phase space (reconstructed)",
           "arXiv:2310.07894 sections 3.2-3.3", options},
    .spaces = SOLVER_PHASE,
    .claims = claims,
    .steps = steps,
    .fill = fill,
};
