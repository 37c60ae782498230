/* Fitted coefficients as a plan, with all that tells where it comes from. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "solver/rows.h"
#include "study/fit.h"
#include "study/refine.h"

/* ---- rows -------------------------------------------------------------------------------------- */

/* A program whose input is a state at t; where that fails it is freed. */
static dfl_status begin(const fit *f, double t, program *code, rows *r) {
    val x = 0;
    *code = (program){.components = (int)f->components};
    *r = (rows){.process = f->process, .form = &f->model->card.form, .out = code};
    dfl_status status = program_add_value(code, code->components, &x);
    plan_input start = {.id = x, .t = t, .scale = process_prior(f->process, t)};
    process_marginal(f->process, t, &start.at);
    if (status == DFL_OK) status = program_add_input(code, &start);
    if (status != DFL_OK) program_free(code);
    return status;
}

static dfl_status finish(program *code, const rows *r, val x, dfl_plan **out) {
    dfl_status status = r->status;
    if (status == DFL_OK) status = program_add_output(code, x);
    if (status == DFL_OK) status = program_prune(code);
    if (status == DFL_OK) return plan_finish(code, out);
    program_free(code);
    return status;
}

static val predict(rows *r, val x, double t, bool clean) {
    if (r->out->components == 1) return clean ? rows_x0(r, x, t) : rows_eps(r, x, t);
    const term noise = {rows_predict(r, x, t), fit_noise_map(r, t)};
    return rows_lin(r, &noise, 1);
}

/* In phase space a value of two halves, as a state for an observer to see. */
static val tell(rows *r, val x, double t) {
    const term noise = {rows_predict(r, x, t), rows_eps_map(r, t)};
    const val told = rows_lin(r, &noise, 1);
    rows_step(r, told, t, 0);
    return told;
}

dfl_status fit_probe(const fit *f, double t, bool clean, dfl_plan **out) {
    program code;
    rows r;
    *out = NULL;
    TRY(begin(f, t, &code, &r));
    const val made = f->components == 1 ? predict(&r, 0, t, clean) : tell(&r, 0, t);
    return finish(&code, &r, made, out);
}

dfl_status fit_probe_output(const fit *f, double t, dfl_plan **out) {
    program code;
    rows r;
    if (f->components == 2) return fit_probe(f, t, false, out);
    *out = NULL;
    TRY(begin(f, t, &code, &r));
    const val made = rows_predict(&r, 0, t);
    return finish(&code, &r, made, out);
}

/* The coefficient of columns k ... k + n - 1. */
static blk coefficient(const fit *f, const fit_step *s, size_t k, size_t n) {
    if (f->components == 1) return blk_real(s->c[k]);
    blk c = {2, (uint8_t)n, {0}};
    for (size_t i = 0; i < 2; i++) memcpy(c.v + i * n, s->c + i * s->columns + k, n * sizeof *s->c);
    return c;
}

static val step(const fit *f, rows *r, val x, const val *predictions, size_t n) {
    const fit_step *s = &f->step[n];
    term terms[FIT_TERMS] = {{x, coefficient(f, s, 0, f->components)}};
    for (size_t k = 1; k < s->terms; k++)
        terms[k] = (term){predictions[n + 1 - k],
                          coefficient(f, s, f->components + (k - 1) * f->answers, f->answers)};
    x = rows_lin(r, terms, s->terms);
    rows_step(r, x, f->t[n + 1], 0);
    return x;
}

dfl_status fit_compile(fit *f) {
    program code;
    rows r;
    val x = 0, *const predictions = mem_array(f->steps, sizeof *predictions);
    if (!predictions) return fail_memory();
    dfl_status status = begin(f, f->t[0], &code, &r);
    if (status == DFL_OK) {
        for (size_t n = 0; n < f->steps; n++) {
            predictions[n] = predict(&r, x, f->t[n], f->clean[n]);
            x = step(f, &r, x, predictions, n);
        }
        if (f->components == 2) x = rows_lin(&r, &(term){x, {1, 2, {1, 0}}}, 1); /* the position */
        status = finish(&code, &r, x, &f->plan);
    }
    free(predictions);
    return status;
}

/* ---- provenance -------------------------------------------------------------------------------- */

static void say_teacher(const fit *f, text *out) {
    text_add(out, "%s, %zu evaluations, grid %s", f->teacher->meta.solver, f->teacher->nfe,
             f->teacher->meta.grid);
}

static void say_fit(const fit *f, text *out) {
    text_add(out, "%zu starts from 0 of seed %s; history %zu, ridge ", f->samples,
             opt_text(&f->spec, "seed"), f->history);
    text_real(out, opt_real(&f->spec, "ridge"));
    text_add(out, ", constraint %s", opt_text(&f->spec, "constraint"));
    if (opt_bool(&f->spec, "share")) text_add(out, ", shared over steps");
    if (f->model->guided) {
        text_add(out, ", guidance ");
        text_real(out, f->model->guidance);
    }
    if (f->model->classifier_guidance != 0) {
        text_add(out, ", classifier guidance ");
        text_real(out, f->model->classifier_guidance);
    }
    fit_start_say(f, out);
    fit_search_say(f, out);
    refine_say(f, out);
}

static const char *grid_name(const fit *f) {
    if (f->best > 0 && opt_bool(&f->spec, "refine_times")) return "refined";
    return f->search ? "searched" : f->grid;
}

dfl_status fit_list_times(fit *f) {
    text grid = {0};
    text_add(&grid, "list:times=[");
    for (size_t k = 0; k <= f->steps; k++) {
        if (k > 0) text_add(&grid, ",");
        text_real(&grid, f->t[k]);
    }
    text_add(&grid, "]");
    if (grid.failed) {
        text_free(&grid);
        return fail_memory();
    }
    free(f->grid);
    f->grid = grid.data;
    return DFL_OK;
}

static void say_held_out(const fit *f, text *out) {
    text_add(out, "%zu starts from %zu: rms %.4g, median %.4g", f->held_out, f->samples, f->own.rms,
             f->own.median);
    const fit_rival *best = NULL;
    for (size_t i = 0; i < f->nrivals; i++)
        if (isfinite(f->rivals[i].rms) && (!best || f->rivals[i].rms < best->rms))
            best = &f->rivals[i];
    if (!best) return;
    text_add(out, "; best of the classical ones measured: %s on %s, rms %.4g", best->solver,
             best->grid ? best->grid : grid_name(f), best->rms);
}

static dfl_status keep(text *from, char **to) {
    free(*to);
    *to = from->failed ? NULL : from->data;
    if (from->failed) text_free(from);
    return *to ? DFL_OK : fail_memory();
}

static dfl_status write_meta(const fit *f, const char *command, plan_meta *meta) {
    char hex[2][DIGEST_HEX];
    text t[PLAN_META] = {{0}};
    TRY(model_digest(f->model, hex[0]));
    TRY(model_identify(f->model, hex[1]));
    text_add(&t[0], "fitted:history=%zu,constraint=%s", f->history,
             opt_text(&f->spec, "constraint"));
    if (opt_bool(&f->spec, "share")) text_add(&t[0], ",share=1");
    if (f->best > 0) text_add(&t[0], ",objective=%s", opt_text(&f->spec, "objective"));
    text_add(&t[1], "%s", f->grid);
    family_print(&f->process->row->is, &f->process->options, &t[2]);
    if (f->model->card.name) text_add(&t[3], "%s", f->model->card.name);
    text_add(&t[4], "%s", dfl_version());
    text_add(&t[5], "%s", hex[0]);
    text_add(&t[6], "%s", hex[1]);
    say_teacher(f, &t[7]);
    say_fit(f, &t[8]);
    say_held_out(f, &t[9]);
    text_real(&t[10], f->own.rms);
    text_add(&t[11], "%s", command);
    dfl_status status = DFL_OK;
    for (int i = 0; i < PLAN_META; i++) {
        const char *key;
        if (!t[i].data && !t[i].failed) continue;
        const dfl_status one = keep(&t[i], plan_meta_at(meta, i, &key));
        if (status == DFL_OK) status = one;
    }
    return status;
}

dfl_status fit_json(fit *f, const char *command, text *out) {
    TRY(write_meta(f, command, &f->plan->meta));
    plan_write(f->plan, out);
    return out->failed ? fail_memory() : DFL_OK;
}

/* ---- for people -------------------------------------------------------------------------------- */

enum { SOLVER_WIDTH = 46, GRID_WIDTH = 14 }; /* of a table that keeps within 80 columns */

/* One cell; if it is too long, the line goes on below, where it would have ended. */
static void print_cell(const char *words, int indent, int width, text *out) {
    text_add(out, "%-*s", width, words);
    if (strlen(words) > (size_t)width) text_add(out, "\n%*s", indent + width, "");
    text_add(out, "  ");
}

static void print_rival(const fit *f, const fit_rival *r, text *out) {
    print_cell(r->solver, 0, SOLVER_WIDTH, out);
    print_cell(r->grid ? r->grid : grid_name(f), SOLVER_WIDTH + 2, GRID_WIDTH, out);
    if (*r->why)
        text_add(out, "not at this budget\n");
    else if (!isfinite(r->rms))
        text_add(out, "diverged\n");
    else
        text_add(out, "%7.4f %7.4f\n", r->rms, r->median);
}

static void print_steps(const fit *f, text *out) {
    text_add(out, "  step           t  directions       rms\n");
    for (size_t n = 0; n < f->steps; n++) {
        const fit_step *s = &f->step[n];
        text_add(out, "%6zu  %10.6f  %4zu of %-2zu  ", n + 1, f->t[n + 1], s->rank, s->free);
        if (isnan(s->rms)) /* refined: it need not be near the teacher on the way */
            text_add(out, "%8s\n", "-");
        else
            text_add(out, "%8.4g\n", s->rms);
    }
    for (size_t n = 0; n < f->steps; n++)
        if (f->step[n].rank < f->step[n].free)
            text_add(out,
                     "step %zu: the outputs leave %zu of %zu directions open; there the plan keeps "
                     "to %s\n",
                     n + 1, f->step[n].free - f->step[n].rank, f->step[n].free, fit_base_name(f));
}

void fit_print(const fit *f, text *out) {
    text_add(out, "model    %s\nteacher  ", f->model->card.name ? f->model->card.name : "-");
    say_teacher(f, out);
    text_add(out, "\nfit      ");
    say_fit(f, out);
    text_add(out, "\n\n");
    print_steps(f, out);
    refine_print(f, out);
    text_add(out, "\nheld out: %zu starts, distance to the teacher\n%-*s  %-*s  %7s %7s\n",
             f->held_out, SOLVER_WIDTH, "", GRID_WIDTH, "grid", "rms", "median");
    print_rival(f, &f->own, out);
    for (size_t i = 0; i < f->nrivals; i++) print_rival(f, &f->rivals[i], out);
}
