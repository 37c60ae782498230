#include "solver/expo.h"

#include <math.h>

/* sum_{k>=1} z^k/(k+1)! */
double expo_q(double z) {
    if (fabs(z) >= 0.05) return expm1(z) / z - 1;
    double sum = 0;
    for (int k = 12; k >= 1; k--) sum = (sum + 1) * z / (k + 1);
    return sum;
}

/* sum_{k>=1} z^k/(k+2)! */
double expo_q2(double z) {
    if (fabs(z) >= 0.05) return (expm1(z) - z) / (z * z) - 0.5;
    double sum = 0;
    for (int k = 12; k >= 1; k--) sum = (sum + 1) * z / (k + 2);
    return sum / 2;
}

expo expo_between(const scalar_at *from, const scalar_at *to, bool data) {
    const double h = log(from->rho / to->rho), z = data ? -h : h;
    return (expo){.ratio = data ? to->b / from->b : to->a / from->a,
                  .C = data ? -to->a : -to->b,
                  .h = h,
                  .z = z,
                  .E = expm1(z),
                  .q = expo_q(z),
                  .q2 = expo_q2(z)};
}

double expo_stage_time(const process *p, const scalar_at *from, double h, double r) {
    return process_time_of_rho(p, from->rho * exp(-r * h));
}

val expo_predict(const problem *pb, rows *r, val x, double t, bool data) {
    (void)pb;
    return data ? rows_x0(r, x, t) : rows_eps(r, x, t);
}
