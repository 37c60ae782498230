/* Judging plans by their labels. */
#include "support/judge.h"

#include <math.h>
#include <stdlib.h>

#include "support/interpret.h"

#define STEP_DEFECT 1e-12
#define ROUGHNESS   1e-10

/* The largest distance of an entry from the cubic through its four neighbours. */
static double roughness(const double *d, size_t n) {
    double worst = 0;
    for (size_t i = 2; i + 2 < n; i++) {
        const double between = (4 * (d[i - 1] + d[i + 1]) - d[i - 2] - d[i + 2]) / 6;
        worst = fmax(worst, fabs(d[i] - between));
    }
    return worst;
}

static double largest(const double *d, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) worst = fmax(worst, fabs(d[i]));
    return worst;
}

static const char *judge_steps(const dfl_plan *plan, bool exact, oracle knows) {
    const size_t n = plan->steps;
    double *alpha = calloc(n, sizeof *alpha), *square = calloc(n, sizeof *square);
    const char *wrong = "there is no memory";
    if (alpha && square) {
        wrong = NULL;
        if (!labels_local(plan, knows, alpha, square))
            wrong = "a row is not linear";
        else if (exact && fmax(largest(alpha, n), largest(square, n)) > STEP_DEFECT)
            wrong = "a step is not exact";
        else if (!exact && fmax(roughness(alpha, n), roughness(square, n)) > ROUGHNESS)
            wrong = "a step errs differently from its neighbours";
    }
    free(alpha);
    free(square);
    return wrong;
}

const char *judge(const dfl_plan *plan, const solver_claims *claims) {
    const oracle last = claims->stochastic ? KNOWS_X0 : KNOWS_N;
    for (int knows = KNOWS_X0; knows <= (int)last; knows++) {
        label_defect d;
        if (claims->exact && !labels_run(plan, (oracle)knows, &d)) return "a row is not linear";
        if (claims->exact && !(d.over <= JUDGE_OVER)) return "labels are off by more than rounding";
        const char *wrong = judge_steps(plan, claims->exact, (oracle)knows);
        if (wrong) return wrong;
    }
    return NULL;
}
