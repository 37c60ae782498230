/* The registry of solvers, and the step they all share. */
#include "solver/solver.h"

#include <math.h>

#define SOLVER(symbol) extern const solver_row solver_##symbol;
#include "solver/solver.def"
#undef SOLVER

static const family_row *const table[] = {
#define SOLVER(symbol) &solver_##symbol.is,
#include "solver/solver.def"
#undef SOLVER
};

/* Names of diffusers, k-diffusion, stable-diffusion.cpp and the authors' files. */
static const family_alias aliases[] = {
    {"dpmpp_2m", "dpm:order=2"},
    {"dpmpp_3m", "dpm:order=3"},
    {"dpmpp_3m_corrected", "dpm:order=3,corrected=1"},
    {"dpmpp_2s", "dpm:order=2,method=singlestep,stages=even"},
    {"dpmpp_2s_a", "dpm:order=2,method=singlestep,eta=1"},
    {"dpmpp_2s_ancestral", "dpm:order=2,method=singlestep,eta=1"},
    {"dpm_1", "dpm:algorithm_type=dpmsolver,order=1"},
    {"dpm_2", "dpm:algorithm_type=dpmsolver,order=2,method=singlestep,stages=even"},
    {"dpm_2_a", "dpm:algorithm_type=dpmsolver,order=2,method=singlestep,eta=1"},
    {"dpm_2_ancestral", "dpm:algorithm_type=dpmsolver,order=2,method=singlestep,eta=1"},
    {"dpm_3", "dpm:algorithm_type=dpmsolver,order=3,method=singlestep,stages=even"},
    {"dpm_fast", "dpm:algorithm_type=dpmsolver,order=3,method=singlestep"},
    {"dpm_solver_fast", "dpm:algorithm_type=dpmsolver,order=3,method=singlestep"},
    {"dpmpp_2m_sde", "sde_dpm:order=2"},
    {"uni_pc", "unipc"},
    {"uni_pc_bh1", "unipc:solver_type=bh1"},
    {"uni_pc_bh2", "unipc:solver_type=bh2"},
    {"euler_a", "ddim:eta=1"},
    {"euler_ancestral", "ddim:eta=1"},
    {"lms", "deis:kind=rhoab,order=3"},
    {"ipndm", "deis:kind=ipndm"},
    {"ipndm_v", "deis:kind=rhoab,order=3"},
    {"t_ab", "deis:kind=tab"},
    {"tab_deis", "deis:kind=tab"},
    {"tab1", "deis:kind=tab,order=1"},
    {"tab2", "deis:kind=tab,order=2"},
    {"tab3", "deis:kind=tab,order=3"},
    {"rho_ab", "deis:kind=rhoab"},
    {"rhoab_deis", "deis:kind=rhoab"},
    {"rho_rk", "rhork"},
    {"rhork_deis", "rhork"},
    {"res_2m", "dpm:order=2,solver_type=heun"},
    {"res_multistep", "dpm:order=2,solver_type=heun"},
    {"res_2s", "dpm:order=2,method=singlestep,solver_type=heun,stages=even"},
    {"exp_rk2", "dpm:order=2,method=singlestep,solver_type=heun,stages=even"},
    {"exp_rk3", "dpm:order=3,method=singlestep,solver_type=heun,stages=even"},
    {"scire_v1", "scire:variant=v1"},
    {"scire_v1_2", "scire:variant=v1,order=2,method=singlestep_fixed"},
    {"scire_v1_3", "scire:variant=v1,order=3,method=singlestep_fixed"},
    {"scire_v1_agile", "scire:variant=v1,order=3"},
    {"scire_v1_2m", "scire:variant=v1,order=2,method=multistep,profile=main"},
    {"scire_v1_3m", "scire:variant=v1,order=3,method=multistep,profile=main"},
    {"scire_v2", "scire:variant=v2"},
    {"scire++", "scire:variant=v2"},
    {"scire_v2_2", "scire:variant=v2,order=2,method=singlestep_fixed"},
    {"scire_v2_3", "scire:variant=v2,order=3,method=singlestep_fixed"},
    {"scire_v2_2m", "scire:variant=v2,order=2,method=multistep,profile=main"},
    {"scire_v2_3m", "scire:variant=v2,order=3,method=multistep,profile=main"},
    {"scirei_2", "scire:variant=ei"},
    {"rfim", "ddim_gmm:kernel=rfim,K=1"},
    {"rfim_gmm", "ddim_gmm:kernel=rfim"},
    {"euler_maruyama", "em"},
};

const family solver_family = {.singular = "solver",
                              .rows = table,
                              .n = sizeof table / sizeof table[0],
                              .aliases = aliases,
                              .naliases = sizeof aliases / sizeof aliases[0]};

double solver_longest_step(const problem *pb) {
    double h = 0;
    for (int n = 0; n < pb->steps; n++) h = fmax(h, pb->t[n] - pb->t[n + 1]);
    return h;
}

double solver_psi(const scalar_at *from, const scalar_at *to) {
    return to->a / from->a;
}

double solver_gap(const scalar_at *from, const scalar_at *to) {
    return to->a * (to->rho - from->rho);
}

double solver_kept(double eta, double q) {
    return sqrt((1 - eta) * (1 + eta) + eta * eta * q * q);
}

/* a_s x_0 + kept b_s n, or psi x + a_s (kept rho_s - rho_t) n, which has no cancellation for a
   network that predicts n, but where a_t is small, nothing else for one that does not. */
val solver_first_order_from(const problem *pb, rows *r, val x, val y, int n, double kept,
                            double sigma) {
    const scalar_at at = process_at(pb->process, pb->t[n]);
    const scalar_at to = process_at(pb->process, pb->t[n + 1]);
    const rows_split split = rows_split_at(r, pb->t[n]);
    const double psi = solver_psi(&at, &to), on_n = to.a * (kept * to.rho - at.rho);
    const double by_x0 = to.a * split.x0_x, by_n = kept * to.b * split.n_x;
    const double size = fabs(by_x0) + fabs(by_n), other = fabs(psi) + fabs(on_n * split.n_x);
    double on_x = by_x0 + by_n, on_y = to.a * split.x0_y + kept * to.b * split.n_y;
    if (at.a > 0 && other < 4 * size) {
        on_x = psi + on_n * split.n_x;
        on_y = on_n * split.n_y;
    }
    if (!(sigma > 0)) return rows_lin2(r, on_x, x, on_y, y);
    return rows_lin3(r, on_x, x, on_y, y, sigma, rows_noise(r));
}

val solver_first_order(const problem *pb, rows *r, val x, int n, double kept, double sigma) {
    const val y = rows_predict(r, x, pb->t[n]);
    return solver_first_order_from(pb, r, x, y, n, kept, sigma);
}
