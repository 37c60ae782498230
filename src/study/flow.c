/* Right-hand sides for adaptive integration. The conversion of whatever the network predicts is the
   row builder's: one evaluation is written as rows, and read back as numbers. */
#include "study/flow.h"

#include <math.h>

dfl_status flow_new(flow *f, const char *spec, const netform *form) {
    val start;
    *f = (flow){.form = form};
    if (form->time_dtype == NET_INT32 || form->time_dtype == NET_INT64)
        return fail(DFL_E_COMBINATION,
                    "the network takes integer times; adaptive steps need one with real times");
    TRY(process_new(spec, &f->process));
    f->scratch.components = f->process->row->components;
    return program_add_value(&f->scratch, f->scratch.components, &start);
}

void flow_free(flow *f) {
    process_free(f->process);
    program_free(&f->scratch);
    *f = (flow){0};
}

double flow_variable(const flow *f, double t) {
    return f->scratch.components == 2 ? log(t) : log(process_at(f->process, t).rho);
}

double flow_time(const flow *f, double u) {
    return f->scratch.components == 2 ? exp(u) : process_time_of_rho(f->process, exp(u));
}

int flow_output_components(const flow *f) {
    return f->scratch.components == 2 && f->form->half == NET_BOTH ? 2 : 1;
}

static void scalar(const rows *r, double t, flow_at *out) {
    const scalar_at at = process_at(r->process, t);
    const rows_split split = rows_split_at(r, t);
    const double scale = hypot(at.a, at.b), b = at.b / scale;
    out->scale = scale;
    out->on_input = split.input * scale;
    out->on_z = blk_real(b * (split.n_x * scale - b));
    out->on_y = blk_real(b * split.n_y);
}

static void phase(const rows *r, double t, flow_at *out) {
    const rows_ode ode = rows_ode_at(r, t);
    out->scale = 1;
    out->on_input = 1;
    out->rate = t;
    out->on_z = blk_scale(out->rate, ode.on_z);
    out->on_y = blk_scale(out->rate, ode.on_y);
}

dfl_status flow_evaluate(flow *f, double t, flow_at *out) {
    program *code = &f->scratch;
    code->nrows = code->nterms = 0;
    code->nvalues = 1;
    rows r = {.process = f->process, .form = f->form, .out = code};
    if (code->components == 1)
        rows_eps(&r, 0, t); /* refuses what does not determine the noise */
    else
        rows_predict(&r, 0, t);
    TRY(r.status);
    *out = (flow_at){.t = t};
    for (size_t i = 0; i < code->nrows; i++) {
        const row *w = &code->rows[i];
        if (w->op == ROW_EVAL) out->ask = (request_point){w->t, w->tau, w->at, w->gives};
    }
    if (code->components == 2)
        phase(&r, t, out);
    else
        scalar(&r, t, out);
    if (!blk_is_finite(out->on_z) || !blk_is_finite(out->on_y))
        return fail(DFL_E_RANGE, "the flow has no finite slope at t=%s; choose other end times",
                    real_text(t).s);
    return DFL_OK;
}
