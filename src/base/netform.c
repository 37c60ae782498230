/* What a network takes and gives, as numbers of the marginal x = a x_0 + b n, rho = b/a.
 *
 * EDM preconditioning (Karras et al., arXiv 2206.00364, table 1), with sd the data's standard
 * deviation and s = sqrt(rho^2 + sd^2): the network F sees c_in x/a, c_in = 1/s, and
 *     x_0 estimate  D = c_skip x/a + c_out F,   c_skip = sd^2/s^2,   c_out = rho sd/s.
 * Solved for F, with x/a = x_0 + rho n and D = x_0:
 *     F = (x_0 (1 - c_skip) - c_skip rho n)/c_out = (rho/(sd s)) x_0 - (sd/s) n,
 * finite for every rho >= 0. So F is one more linear prediction, and only the card calls it
 * "sample with preconditioning". */
#include "base/netform.h"

#include <math.h>

const char netform_predictions[] = "epsilon|sample|v_prediction|score|flow_prediction";
const char netform_time_maps[] = "linear|sigma|log_sigma";
const char netform_preconds[] = "none|edm";
const char netform_halves[] = "both|x|m";
const char netform_matchings[] = "hsm|dsm";
const char netform_dtypes[] = "float32|float64|float16|int32|int64";

double netform_shifted(double t, double shift) {
    return shift * t / (1 + (shift - 1) * t);
}

double netform_time(const netform *f, double t, double a, double b) {
    switch (f->map) {
    case TIME_SIGMA: return b / a;
    case TIME_LOG_SIGMA: return log(b / a) / 4;
    case TIME_LINEAR: break;
    }
    return f->scale * t + f->offset;
}

double netform_input_scale(const netform *f, double a, double b) {
    if (f->precond == PRECOND_NONE) return 1;
    return 1 / hypot(b, a * f->sigma_data); /* c_in/a without the division by a */
}

void netform_gives(const netform *f, double a, double b, double *cx, double *cn) {
    if (f->precond == PRECOND_EDM) {
        const double sd = f->sigma_data, s = hypot(b, a * sd);
        *cx = b / (sd * s);
        *cn = -a * sd / s;
        return;
    }
    const double table[][2] = {[PRED_EPSILON] = {0, 1},
                               [PRED_SAMPLE] = {1, 0},
                               [PRED_V] = {-b, a},
                               [PRED_SCORE] = {0, -1 / b},
                               [PRED_FLOW] = {-1, 1}};
    *cx = table[f->predicts][0];
    *cn = table[f->predicts][1];
}
