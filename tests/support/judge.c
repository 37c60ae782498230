/* Judging plans by their labels. */
#include "support/judge.h"

#include <math.h>
#include <stdlib.h>

#include "support/interpret.h"

#define STEP_DEFECT 1e-12
#define ROUGHNESS   5e-5 /* of the largest defect within AROUND steps */
#define SMALL       1e-10

enum { AROUND = 8 };

static double largest(const double *d, size_t from, size_t to) {
    double worst = 0;
    for (size_t i = from; i < to; i++) worst = fmax(worst, fabs(d[i]));
    return worst;
}

/* Some entry is off the cubic through its four neighbours, measured by those around it. */
static bool is_rough(const double *d, size_t n) {
    for (size_t i = 2; i + 2 < n; i++) {
        const double between = (4 * (d[i - 1] + d[i + 1]) - d[i - 2] - d[i + 2]) / 6;
        const double around =
            largest(d, i > AROUND ? i - AROUND : 0, i + AROUND < n ? i + AROUND : n);
        if (fabs(d[i] - between) > fmax(SMALL, ROUGHNESS * around)) return true;
    }
    return false;
}

static const char *judge_steps(const dfl_plan *plan, bool exact, oracle knows) {
    const size_t n = plan->steps;
    double *alpha = calloc(n, sizeof *alpha), *square = calloc(n, sizeof *square);
    const char *wrong = "there is no memory";
    double input;
    if (alpha && square) {
        wrong = NULL;
        if (!labels_local(plan, knows, alpha, square, &input))
            wrong = "a row is not linear";
        else if (input > STEP_DEFECT)
            wrong = "the network is not fed what its row says";
        else if (exact && fmax(largest(alpha, 0, n), largest(square, 0, n)) > STEP_DEFECT)
            wrong = "a step is not exact";
        else if (!exact && (is_rough(alpha, n) || is_rough(square, n)))
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
