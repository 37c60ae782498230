/* Phase-space Langevin diffusion (PSLD), and critically damped Langevin diffusion (CLD).
 *
 *   dx = (beta/2)(-Gamma x + M^-1 m) dt + sqrt(beta Gamma) dw_x
 *   dm = (beta/2)(-x - nu m)         dt + sqrt(beta M nu)  dw_m,      M^-1 = (Gamma - nu)^2 / 4
 *
 * Pandey and Mandt, arXiv 2303.01748, eq. (7)-(9); CLD is Gamma = 0, nu = 4 (Dockhorn et al.,
 * arXiv 2112.07068, with beta half of ours). With B the integral of beta, s = nu - Gamma,
 * p = nu + Gamma, u = p B / 2:
 *   Psi = exp(-p B/4) [[1 + s B/4, M^-1 B/2], [-B/2, 1 - s B/4]]
 *   Sigma = e^-u N + Psi diag(0, kappa M) Psi^T,   N_xm = s B^2/4,
 *   N_xx = Gamma B + q + E2(u),  N_mm = M (nu B + q + E2(u)),  q = nu Gamma B^2/2,
 *   E2(u) = e^u - 1 - u - u^2/2
 * Every term of N_xx and N_mm is positive: nothing cancels, where the released code's polynomials
 * lose up to 3e-5. Drift is defective at critical damping and never diagonalised. numerical_eps is
 * added to the diagonal of Sigma before it is factorised, as there.
 * Known value: defaults, t = 0.1: Sigma_xx = 0.228010744748 (without numerical_eps). */
#include "process/phase.h"

#include <math.h>
#include <stdlib.h>

#define PHASE_OPTIONS(Gamma, nu)                                                                   \
    {"beta_0", OPT_REAL, "8", 0, 1000, NULL, "beta at t = 0"},                                     \
        {"beta_1", OPT_REAL, "8", 0, 1000, NULL, "beta at t = 1"},                                 \
        {"Gamma", OPT_REAL, Gamma, 0, 100, NULL, "friction of the position"},                      \
        {"nu", OPT_REAL, nu, 0, 100, NULL, "friction of the momentum"},                            \
        {"kappa", OPT_REAL, "0.04", 0, 100, NULL, "variance of m at t = 0, in units of M"},        \
        {"numerical_eps", OPT_REAL, "1e-9", 0, 1, NULL, "added to the covariance's diagonal"},     \
        {"factor", OPT_CHOICE, "lower", 0, 0, "lower|upper", "triangular factor of Sigma"}, {      \
        0                                                                                          \
    }

static const opt_row psld_options[] = {PHASE_OPTIONS("0.01", "4.01")};
static const opt_row cld_options[] = {PHASE_OPTIONS("0", "4")};

const phase_par *phase_parameters(const process *p) {
    return p->own;
}

static dfl_status init(process *p, const opts *o) {
    phase_par *par = mem_array(1, sizeof *par);
    if (!par) return fail_memory();
    p->own = par;
    *par = (phase_par){opt_real(o, "beta_0"),
                       opt_real(o, "beta_1"),
                       opt_real(o, "Gamma"),
                       opt_real(o, "nu"),
                       opt_real(o, "kappa"),
                       opt_real(o, "numerical_eps"),
                       0,
                       0,
                       opt_choice(o, "factor") == 1};
    const double gap = par->Gamma - par->nu;
    par->Minv = gap * gap / 4;
    par->M = 1 / par->Minv;
    const char *name = p->row->is.name;
    if (gap == 0)
        return fail(
            DFL_E_COMBINATION,
            "process %s: Gamma and nu are both %.17g; critical damping needs them to differ", name,
            par->nu);
    if (par->beta_0 + par->beta_1 <= 0)
        return fail(DFL_E_COMBINATION, "process %s: beta_0 and beta_1 are both 0; nothing diffuses",
                    name);
    if (par->kappa == 0 && par->numerical_eps == 0)
        return fail(
            DFL_E_COMBINATION,
            "process %s: kappa=0 needs numerical_eps above 0, or the covariance is singular "
            "at t = 0",
            name);
    p->t_lo = 1e-9;
    return DFL_OK;
}

double phase_beta(const process *p, double t) {
    const phase_par *par = phase_parameters(p);
    return par->beta_0 + (par->beta_1 - par->beta_0) * t;
}

double phase_integral(const process *p, double t) {
    const phase_par *par = phase_parameters(p);
    return t * (par->beta_0 + (par->beta_1 - par->beta_0) * t / 2);
}

blk phase_drift1(const process *p) {
    const phase_par *par = phase_parameters(p);
    return blk_2x2(-par->Gamma / 2, par->Minv / 2, -0.5, -par->nu / 2);
}

blk phase_noise1(const process *p) {
    const phase_par *par = phase_parameters(p);
    return blk_2x2(par->Gamma, 0, 0, par->M * par->nu);
}

/* exp(F1 D) in closed form: F1 + (p/4) I is nilpotent. */
blk phase_transition(const process *p, double D) {
    const phase_par *par = phase_parameters(p);
    const double s = par->nu - par->Gamma, decay = exp(-(par->nu + par->Gamma) * D / 4);
    return blk_scale(decay, blk_2x2(1 + s * D / 4, par->Minv * D / 2, -D / 2, 1 - s * D / 4));
}

/* e^u - 1 - u - u^2/2, by its series where the difference would cancel. */
static double exp_tail(double u) {
    if (fabs(u) >= 0.5) return expm1(u) - u - u * u / 2;
    double sum = 1;
    for (int k = 20; k >= 4; k--) sum = 1 + u / k * sum;
    return u * u * u / 6 * sum;
}

/* e^-u N over an integral D of beta. */
static phase_cov accumulated(const phase_par *par, double D) {
    const double u = (par->nu + par->Gamma) * D / 2, decay = exp(-u);
    const double q = par->nu * par->Gamma * D * D / 2, tail = exp_tail(u);
    return (phase_cov){decay * (par->Gamma * D + q + tail),
                       decay * (par->nu - par->Gamma) * D * D / 4,
                       decay * par->M * (par->nu * D + q + tail)};
}

phase_cov phase_covariance(const process *p, double t) {
    const phase_par *par = phase_parameters(p);
    const double D = phase_integral(p, t), v = par->kappa * par->M;
    const blk psi = phase_transition(p, D);
    phase_cov s = accumulated(par, D);
    s.xx += v * psi.v[1] * psi.v[1];
    s.xm += v * psi.v[1] * psi.v[3];
    s.mm += v * psi.v[3] * psi.v[3];
    return s;
}

blk phase_factor(phase_cov s, bool upper) {
    /* t = 0 without numerical_eps: what has no variance has no covariance */
    if ((upper ? s.mm : s.xx) == 0) return blk_2x2(sqrt(s.xx), 0, 0, sqrt(s.mm));
    const double det = sqrt((s.xx * s.mm - s.xm * s.xm) / (upper ? s.mm : s.xx));
    if (upper) return blk_2x2(det, s.xm / sqrt(s.mm), 0, sqrt(s.mm));
    return blk_2x2(sqrt(s.xx), 0, s.xm / sqrt(s.xx), det);
}

/* Backwards, the sign of the coupling between x and m turns round. */
blk phase_reverse_mean(const process *p, double D) {
    blk psi = phase_transition(p, D);
    psi.v[1] = -psi.v[1];
    psi.v[2] = -psi.v[2];
    return psi;
}

phase_cov phase_reverse_covariance(const process *p, double D) {
    phase_cov s = accumulated(phase_parameters(p), D);
    s.xm = -s.xm;
    return s;
}

static void phase_marginal(const process *p, double t, marginal *m) {
    const phase_par *par = phase_parameters(p);
    const blk psi = phase_transition(p, phase_integral(p, t));
    phase_cov s = phase_covariance(p, t);
    s.xx += par->numerical_eps;
    s.mm += par->numerical_eps;
    const blk l = phase_factor(s, par->upper);
    m->a[0] = psi.v[0];
    m->a[1] = psi.v[2];
    for (int i = 0; i < 4; i++) m->b[i] = l.v[i];
}

static blk drift(const process *p, double t) {
    return blk_scale(phase_beta(p, t), phase_drift1(p));
}

static blk noise(const process *p, double t) {
    const phase_par *par = phase_parameters(p);
    const double beta = phase_beta(p, t);
    return blk_2x2(sqrt(beta * par->Gamma), 0, 0, sqrt(beta * par->M * par->nu));
}

static blk prior(const process *p, double t) {
    (void)t;
    return blk_2x2(1, 0, 0, sqrt(phase_parameters(p)->M));
}

#define PHASE_PROCESS(symbol, about, paper)                                                        \
    const process_row process_##symbol = {                                                         \
        .is = {#symbol, about, paper, symbol##_options},                                           \
        .components = 2,                                                                           \
        .reference_grid = "power:kappa=2",                                                         \
        .reference_options = "",                                                                   \
        .reference_start = 1,                                                                      \
        .init = init,                                                                              \
        .marginal = phase_marginal,                                                                \
        .drift = drift,                                                                            \
        .noise = noise,                                                                            \
        .prior = prior,                                                                            \
    }

PHASE_PROCESS(psld, "phase-space Langevin diffusion, critically damped",
              "arXiv:2303.01748 eq. (7)-(9)");
PHASE_PROCESS(cld, "critically damped Langevin diffusion: psld with Gamma = 0",
              "arXiv:2112.07068, beta twice as theirs");
