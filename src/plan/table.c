/* From a table of coefficients to a plan, with a check that no table of an exact scheme fails: where
   the network knows x_0 and n, a step must take the label of the state to that of the next time. */
#include "plan/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double told = 1e-3;      /* violations above are warned of */
static const double same_time = 1e-9; /* a step begins where the one before ended, to this part */

/* A table on its way; output number k is that of step k. */
typedef struct {
    const plan_table *t;
    const plan_source *to;
    process *process;
    double *time; /* [n + 1] */
    val *output;  /* [n] */
    table_check *check;
} import;

/* ---- times ------------------------------------------------------------------------------------- */

static dfl_status check_joint(const plan_table *t, size_t i) {
    const double end = t->steps[i - 1].to, begin = t->steps[i].from;
    if (fabs(begin - end) <= same_time * fmax(fabs(begin), fabs(end))) return DFL_OK;
    return fail(DFL_E_RANGE, "step %zu begins at %s, but the one before ends at %s", i + 1,
                real_text(begin).s, real_text(end).s);
}

static dfl_status find_times(import *m) {
    const plan_table *t = m->t;
    for (size_t i = 0; i <= t->n; i++) {
        const double x = i < t->n ? t->steps[i].from : t->steps[i - 1].to;
        if (i > 0 && i < t->n) TRY(check_joint(t, i));
        TRY(grid_time(m->process, &t->unit, x, &m->time[i]));
        TRY(process_check_time(m->process, "a step's time", m->time[i]));
        if (i > 0 && !(m->time[i] < m->time[i - 1]))
            return fail(DFL_E_RANGE, "times must fall, but step %zu goes from t = %s to %s", i,
                        real_text(m->time[i - 1]).s, real_text(m->time[i]).s);
    }
    if (m->time[0] <= m->to->t_max * (1 + 1e-12)) return DFL_OK;
    return fail(DFL_E_RANGE,
                "the table begins at t = %.15g; this model was trained up to t = %.15g (t_max of "
                "its card)",
                m->time[0], m->to->t_max);
}

/* ---- consistency ------------------------------------------------------------------------------- */

/* An output as cx x_0 + cn n. */
static void label_of(const import *m, size_t step, double label[2]) {
    const scalar_at at = process_at(m->process, m->time[step]);
    const double labels[][2] = {[PRED_EPSILON] = {0, 1},
                                [PRED_SAMPLE] = {1, 0},
                                [PRED_V] = {-at.b, at.a},
                                [PRED_SCORE] = {0, -1 / at.b},
                                [PRED_FLOW] = {-1, 1}};
    memcpy(label, labels[m->t->predicts], sizeof *labels);
}

static void check_step(import *m, size_t i) {
    const table_step *s = &m->t->steps[i];
    const scalar_at at = process_at(m->process, m->time[i]);
    const scalar_at to = process_at(m->process, m->time[i + 1]);
    double a = s->x * at.a - to.a, b = s->x * at.b - to.b;
    for (size_t k = 0; k < s->outputs && k <= i; k++) {
        double label[2];
        label_of(m, i - k, label);
        a += s->c[k] * label[0];
        b += s->c[k] * label[1];
    }
    const double off = fmax(fabs(a), fabs(b));
    if (!(off > m->check->violation)) return;
    m->check->violation = off;
    m->check->worst = i;
}

/* ---- rows -------------------------------------------------------------------------------------- */

/* The output at state x as the table has it, from whatever the network predicts. */
static val ask(const import *m, rows *r, val x, double t) {
    const prediction wanted = m->t->predicts;
    if (wanted == PRED_EPSILON) return rows_eps(r, x, t);
    if (wanted == PRED_SAMPLE) return rows_x0(r, x, t);
    const netform *form = r->form;
    const bool plain = form->precond == PRECOND_NONE && !m->process->row->unit_signal;
    const val y = rows_predict(r, x, t);
    if (plain && form->predicts == wanted) return y;
    const scalar_at at = process_at(m->process, t);
    const val n = rows_eps_of(r, x, y, t);
    if (wanted == PRED_SCORE) {
        const term score = {n, blk_real(-1 / at.b)};
        return rows_lin(r, &score, 1);
    }
    const val x0 = rows_x0_of(r, x, y, t);
    return wanted == PRED_V ? rows_lin2(r, at.a, n, -at.b, x0) : rows_lin2(r, 1, n, -1, x0);
}

static dfl_status check_coefficients(const table_step *s, size_t i) {
    bool any = s->x != 0;
    for (size_t k = 0; k < s->outputs; k++) {
        any = any || s->c[k] != 0;
        if (k > i && s->c[k] != 0)
            return fail(DFL_E_FORMAT,
                        "step %zu uses the output %zu steps before, which there is not", i + 1, k);
    }
    return any ? DFL_OK : fail(DFL_E_RANGE, "step %zu has no coefficient but 0", i + 1);
}

/* Whether this step or a later one uses the output of step i. */
static bool is_used(const plan_table *t, size_t i) {
    for (size_t k = 0; k < TABLE_OUTPUTS_MAX && i + k < t->n; k++)
        if (k < t->steps[i + k].outputs && t->steps[i + k].c[k] != 0) return true;
    return false;
}

static val take_step(const import *m, rows *r, val x, size_t i) {
    const table_step *s = &m->t->steps[i];
    term terms[TABLE_OUTPUTS_MAX + 1] = {{x, blk_real(s->x)}};
    size_t n = 1;
    for (size_t k = 0; k < s->outputs && k <= i; k++)
        if (s->c[k] != 0) terms[n++] = (term){m->output[i - k], blk_real(s->c[k])};
    x = rows_lin(r, terms, n);
    rows_step(r, x, m->time[i + 1], 0);
    return x;
}

static dfl_status write_rows(import *m, program *code) {
    rows r = {.process = m->process, .form = &m->to->form, .out = code};
    val x = 0;
    code->components = 1;
    TRY(program_add_value(code, 1, &x));
    plan_input start = {.id = x, .t = m->time[0], .scale = process_prior(m->process, m->time[0])};
    process_marginal(m->process, start.t, &start.at);
    TRY(program_add_input(code, &start));
    bool asked = false;
    for (size_t i = 0; i < m->t->n; i++) {
        TRY(check_coefficients(&m->t->steps[i], i));
        const bool used = is_used(m->t, i);
        if (used) m->output[i] = ask(m, &r, x, m->time[i]);
        asked = asked || used;
        x = take_step(m, &r, x, i);
        check_step(m, i);
    }
    TRY(r.status);
    if (!asked) return fail(DFL_E_RANGE, "no step uses an output of the network");
    TRY(program_add_output(code, x));
    return program_prune(code);
}

/* ---- provenance -------------------------------------------------------------------------------- */

static dfl_status keep(text *from, char **to) {
    *to = from->failed ? NULL : from->data;
    if (from->failed) text_free(from);
    return *to ? DFL_OK : fail_memory();
}

static dfl_status write_meta(const import *m, const char *title, dfl_plan *plan) {
    text part[4] = {{0}};
    char **const to[] = {&plan->meta.solver, &plan->meta.process, &plan->meta.version,
                         &plan->meta.fit};
    text_add(&part[0], "imported");
    family_print(&m->process->row->is, &m->process->options, &part[1]);
    text_add(&part[2], "%s", dfl_version());
    text_add(&part[3], "%s: %zu steps of ", title, m->t->n);
    text_add_choice(&part[3], netform_predictions, (int)m->t->predicts);
    text_add(&part[3], "; a constant output is taken off its label by at most %.2g (step %zu)",
             m->check->violation, m->check->worst + 1);
    dfl_status status = DFL_OK;
    for (int i = 0; i < 4; i++) {
        const dfl_status one = keep(&part[i], to[i]);
        if (status == DFL_OK) status = one;
    }
    if (m->check->violation > told)
        text_add(&plan->warnings,
                 "step %zu takes a constant output off its label by %.3g: a misprint, another "
                 "process, or coefficients of another form of the state\n",
                 m->check->worst + 1, m->check->violation);
    return plan->warnings.failed ? fail_memory() : status;
}

static dfl_status prepare(import *m) {
    TRY(process_new(m->to->process, &m->process));
    if (m->process->row->components != 1)
        return fail(DFL_E_COMBINATION, "tables are of scalar processes, and %s is in phase space",
                    m->process->row->is.name);
    m->time = mem_array(m->t->n + 1, sizeof *m->time);
    m->output = mem_array(m->t->n, sizeof *m->output);
    if (!m->time || !m->output) return fail_memory();
    return find_times(m);
}

dfl_status table_plan(const plan_table *t, const plan_source *to, const char *title,
                      table_check *check, dfl_plan **out) {
import m = {.t = t, .to = to, .check = check };
    program code = {0};
    *out = NULL;
    *check = (table_check){0};
    dfl_status status = prepare(&m);
    if (status == DFL_OK) status = write_rows(&m, &code);
    if (status == DFL_OK)
        status = plan_finish(&code, out);
    else
        program_free(&code);
    if (status == DFL_OK) status = write_meta(&m, title, *out);
    process_free(m.process);
    free(m.time);
    free(m.output);
    if (status == DFL_OK) return DFL_OK;
    plan_free(*out);
    *out = NULL;
    return status;
}
