/* The registry of solvers, and the step they all share. */
#include "solver/solver.h"

#define SOLVER(symbol) extern const solver_row solver_##symbol;
#include "solver/solver.def"
#undef SOLVER

static const family_row *const table[] = {
#define SOLVER(symbol) &solver_##symbol.is,
#include "solver/solver.def"
#undef SOLVER
};
const family solver_family = {"solver", table, sizeof table / sizeof table[0]};

double solver_psi(const scalar_at *from, const scalar_at *to) {
    return to->a / from->a;
}

double solver_gap(const scalar_at *from, const scalar_at *to) {
    return to->a * (to->rho - from->rho);
}
