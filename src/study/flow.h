/* The probability-flow ODE of a model on a process, in the variables adaptive integration uses.
 *
 *   scalar        z = x / sqrt(a^2 + b^2) over u = log(rho):  dz/du = b' (n - b' z),
 *                 a', b' = (a, b) / sqrt(a^2 + b^2), n the noise prediction
 *   phase space   z = (x, m) over u = log(t):                 dz/du = t (F z - G G^T s/2)
 *
 * For unit-variance data z has variance 1 at every time, where x/a starts 150 times larger and x
 * of a variance-exploding process up to 80 times: one absolute tolerance fits all of the way. The
 * scalar right-hand side is a' b' times the v-prediction, so it fades at both ends, and no rate
 * grows. In phase space the score's slopes grow as 1/t; over log(t) they do not. */
#ifndef DFL_FLOW_H
#define DFL_FLOW_H

#include "model/model.h"
#include "solver/rows.h"

typedef struct {
    process *process;
    const netform *form;
    program scratch; /* where the row builder writes one evaluation, again and again */
} flow;

/* One evaluation at a time: what the network is asked, in terms of z and its output y. */
typedef struct {
    request_point ask;
    double t;
    blk on_z, on_y;     /* dz/du = on_z z + on_y y */
    double on_input;    /* network input = on_input z */
    double scale, rate; /* x = scale z; phase space: rate = dt/du */
} flow_at;

/* Process as option text. E_COMBINATION if the network takes integer times only. */
dfl_status flow_new(flow *f, const char *process, const netform *form);
void flow_free(flow *f);

double flow_variable(const flow *f, double t);
double flow_time(const flow *f, double u);

/* The evaluation at t > 0. What can't be asked there is refused as in plans. */
dfl_status flow_evaluate(flow *f, double t, flow_at *out);

/* Numbers in the output of the network, in halves of a state. */
int flow_output_components(const flow *f);

#endif
