#include "solver/expo.h"

#include <math.h>

/* The series is sum_{i>=0} z^(i+1) / (k+i+1)!. */
double expo_g(int k, double z) {
    double factorial = 1;
    if (fabs(z) < 0.1) {
        double sum = 0;
        for (int i = 2; i <= k; i++) factorial *= i;
        for (int i = 14; i >= 0; i--) sum = (sum + 1) / (k + i + 1) * z;
        return sum / factorial;
    }
    double value = expm1(z) / z - 1;
    for (int i = 1; i < k; i++) {
        factorial *= i + 1;
        value = value / z - 1 / factorial;
    }
    return value;
}

expo expo_between(const scalar_at *from, const scalar_at *to, bool data) {
    const double h = log(from->rho / to->rho), z = data ? -h : h;
    return (expo){.ratio = data ? to->b / from->b : to->a / from->a,
                  .C = data ? -to->a : -to->b,
                  .h = h,
                  .z = z,
                  .E = expm1(z),
                  .q = expo_g(1, z),
                  .q2 = expo_g(2, z)};
}

double expo_stage_time(const process *p, const scalar_at *from, double h, double r) {
    return process_time_of_rho(p, from->rho * exp(-r * h));
}

val expo_predict(rows *r, val x, double t, bool data) {
    return data ? rows_x0(r, x, t) : rows_eps(r, x, t);
}

dfl_status expo_check_start(const problem *pb, const char *solver) {
    if (process_at(pb->process, pb->t[0]).a > 0) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "solver %s: works in log-SNR, which is infinite at t_start=%s; start lower", solver,
                real_text(pb->t[0]).s);
}
