/* Phase-space Langevin diffusion (PSLD), and critically damped Langevin diffusion (CLD).
 *
 *   dx = (beta/2)(-Gamma x + M^-1 m) dt + sqrt(beta Gamma) dw_x
 *   dm = (beta/2)(-x - nu m)         dt + sqrt(beta M nu)  dw_m,      M^-1 = (Gamma - nu)^2 / 4
 *
 * Pandey and Mandt, arXiv 2303.01748, eq. (7)-(9); CLD is Gamma = 0, nu = 4 (Dockhorn et al.,
 * arXiv 2112.07068, with beta half of ours). With B the integral of beta, s = nu - Gamma,
 * p = nu + Gamma, u = p B / 2:
 *   Psi = exp(-p B/4) [[1 + s B/4, M^-1 B/2], [-B/2, 1 - s B/4]]
 *   Sigma = e^-u N + kappa M psi psi^T,   psi = Psi (0, 1)^T,   N_xm = s B^2/4,
 *   N_xx = Gamma B + q + E2(u),  N_mm = M (nu B + q + E2(u)),  q = nu Gamma B^2/2,
 *   E2(u) = e^u - 1 - u - u^2/2
 * Every term of N_xx and N_mm is positive: nothing cancels, where the released code's polynomials
 * lose up to 3e-5. Given m_0, too (denoising score matching), the second term of Sigma is missing.
 * Near t = 0 it is nearly all of Sigma, and of rank one; so the factor's last entry is not taken
 * from Sigma's entries but from
 *   det Sigma = det(e^-u N) + kappa M (J psi)^T e^-u N (J psi),   J psi = (psi_m, -psi_x),
 * and N's own correlation is at most 3/4 (squared). Drift is defective at critical damping and never
 * diagonalised. numerical_eps is added to the diagonal of Sigma before it is factorised, as there.
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
    if (!isfinite(par->M)) /* the gap is 0, or its square no double */
        return fail(DFL_E_COMBINATION,
                    "process %s: Gamma is %s and nu %s; critical damping needs them to differ",
                    name, real_text(par->Gamma).s, real_text(par->nu).s);
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
    /* near the end of e^u in doubles, and of e^-u: where Sigma has long come to rest */
    if (u > 700) return (phase_cov){1, 0, par->M, par->M};
    const double q = par->nu * par->Gamma * D * D / 2, tail = exp_tail(u);
    const double xx = decay * (par->Gamma * D + q + tail);
    const double xm = decay * (par->nu - par->Gamma) * D * D / 4;
    const double mm = decay * par->M * (par->nu * D + q + tail);
    return (phase_cov){xx, xm, mm, xx * mm - xm * xm};
}

phase_cov phase_covariance_given_both(const process *p, double t) {
    return accumulated(phase_parameters(p), phase_integral(p, t));
}

phase_cov phase_covariance(const process *p, double t) {
    const phase_par *par = phase_parameters(p);
    const double v = par->kappa * par->M;
    const blk psi = phase_transition(p, phase_integral(p, t));
    const double x = psi.v[1], m = psi.v[3];
    const phase_cov s = phase_covariance_given_both(p, t);
    return (phase_cov){s.xx + v * x * x, s.xm + v * x * m, s.mm + v * m * m,
                       s.det + v * (m * m * s.xx - 2 * m * x * s.xm + x * x * s.mm)};
}

phase_cov phase_widened(const process *p, phase_cov s) {
    const double eps = phase_parameters(p)->numerical_eps;
    return (phase_cov){s.xx + eps, s.xm, s.mm + eps, s.det + eps * (s.xx + s.mm + eps)};
}

blk phase_factor(phase_cov s, bool upper) {
    /* t = 0 without numerical_eps: what has no variance has no covariance */
    if ((upper ? s.mm : s.xx) == 0) return blk_2x2(sqrt(s.xx), 0, 0, sqrt(s.mm));
    const double left = sqrt(s.det / (upper ? s.mm : s.xx));
    if (upper) return blk_2x2(left, s.xm / sqrt(s.mm), 0, sqrt(s.mm));
    return blk_2x2(sqrt(s.xx), 0, s.xm / sqrt(s.xx), left);
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

static blk factor(const process *p, double t, score_matching matching) {
    const phase_cov s =
        matching == MATCH_DENOISING ? phase_covariance_given_both(p, t) : phase_covariance(p, t);
    return phase_factor(phase_widened(p, s), phase_parameters(p)->upper);
}

static void phase_marginal(const process *p, double t, marginal *m) {
    const blk psi = phase_transition(p, phase_integral(p, t)), l = factor(p, t, MATCH_HYBRID);
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
        .factor = factor,                                                                          \
        .prior = prior,                                                                            \
    }

PHASE_PROCESS(psld, "phase-space Langevin diffusion, critically damped",
              "arXiv:2303.01748 eq. (7)-(9)");
PHASE_PROCESS(cld, "critically damped Langevin diffusion: psld with Gamma = 0",
              "arXiv:2112.07068, beta twice as theirs");
