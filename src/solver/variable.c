#include "solver/variable.h"

enum { AUTO, IN_RHO, IN_T };

bool variable_is_rho(const opts *o, const process *p) {
    const int variable = opt_choice(o, "variable");
    return variable == IN_RHO || (variable == AUTO && p->row->components == 1);
}

dfl_status variable_check(const problem *pb, const char *solver) {
    if (!variable_is_rho(pb->o, pb->process) || pb->process->row->components == 1) return DFL_OK;
    return fail(DFL_E_COMBINATION, "solver %s: variable=rho needs a scalar process", solver);
}
