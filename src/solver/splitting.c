/* Splitting integrators in phase space, deterministic and stochastic.
 *
 * A scheme is a word; its letters are executed from left to right within a step from t to s,
 * h = t - s:
 *
 *   e, E   evaluate the network at the current state, at time t or at time s
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
#include "solver/solver.h"

#include <string.h>

#include "process/phase.h"
#include "solver/symbol.h"

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
    if (strchr(word_of(o), 'O'))
        return (solver_claims){.order = 1, .from = 80, .to = 320, .stochastic = true};
    return (solver_claims){.order = 1, .from = 320, .to = 1280};
}

static int steps(const opts *o, int nfe, bool to_zero) {
    (void)to_zero;
    int calls = 0;
    for (const char *c = word_of(o); *c; c++) calls += *c == 'e' || *c == 'E';
    return nfe / calls;
}

/* The latest evaluation: its output, the score from it, and beta at its time. */
typedef struct {
    val y;
    blk score;
    double beta;
} evaluation;

/* Whether the letters up to the next evaluation need a score: without friction there is none in a
   component, and a plan makes no evaluation for nothing (CLD's position, nu = 0's momentum). */
static bool scored(const phase_par *par, const char *rest) {
    for (const char *c = rest; *c && *c != 'e' && *c != 'E'; c++)
        if ((*c == 'A' && par->Gamma > 0) || ((*c == 'B' || *c == 'b') && par->nu > 0)) return true;
    return false;
}

/* `letter` is where the word stands. */
static evaluation evaluate(const problem *pb, rows *r, symbol *z, double t, const char *letter) {
    evaluation e = {.score = rows_score_map(r, t), .beta = phase_beta(pb->process, t)};
    if (scored(phase_parameters(pb->process), letter + 1))
        e.y = rows_predict(r, symbol_write(z, r), t);
    return e;
}

static void move_position(const phase_par *par, symbol *z, const evaluation *e, double h,
                          double w) {
    const double c = h * e->beta / 2;
    symbol_apply(z, blk_2x2(1 + c * w * par->Gamma, -c * par->Minv, 0, 1));
    if (par->Gamma > 0) symbol_add(z, symbol_row(e->score, 0, c * w * par->Gamma), e->y);
}

static void kick_momentum(const phase_par *par, symbol *z, const evaluation *e, double h,
                          double w) {
    const double c = h * e->beta / 2;
    symbol_apply(z, blk_2x2(1, 0, c, 1 + c * w * par->nu));
    if (par->nu > 0) symbol_add(z, symbol_row(e->score, 1, c * w * par->M * par->nu), e->y);
}

static val fill(const problem *pb, rows *r, val start) {
    const phase_par *par = phase_parameters(pb->process);
    const char *word = word_of(pb->o);
    const double w = strchr(word, 'O') ? 2 : 1;
    symbol z = symbol_of(start);
    for (int n = 0; n < pb->steps; n++) {
        const double t = pb->t[n], s = pb->t[n + 1], h = t - s;
        evaluation e = {0};
        for (const char *c = word; *c; c++) {
            switch (*c) {
            case 'e': e = evaluate(pb, r, &z, t, c); break;
            case 'E': e = evaluate(pb, r, &z, s, c); break;
            case 'A': move_position(par, &z, &e, h, w); break;
            case 'B': kick_momentum(par, &z, &e, h, w); break;
            case 'b': kick_momentum(par, &z, &e, h / 2, w); break;
            default: symbol_relax(&z, r, t, s, opt_real(pb->o, "lambda_s")); break;
            }
        }
        rows_step(r, symbol_write(&z, r), s, 1);
    }
    return symbol_write(&z, r);
}

const solver_row solver_splitting = {
    .is = {"splitting", "splitting integrators, phase space (reconstructed)",
           "arXiv:2310.07894 sections 3.2-3.3", options},
    .spaces = SOLVER_PHASE,
    .claims = claims,
    .steps = steps,
    .fill = fill,
};
