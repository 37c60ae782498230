/* The doctor: opens a model, compiles a plan, and reports what is odd about them before anything is
   sampled. Checks of the plan are in doctor_plan.c, those that ask the network in
   doctor_network.c. */
#include "study/doctor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

const char *const doctor_checks[CHECKS] = {
    [CHECK_MODEL] = "model", [CHECK_CARD] = "card",       [CHECK_PLAN] = "plan",
    [CHECK_TIMES] = "times", [CHECK_STEPS] = "steps",     [CHECK_START] = "start",
    [CHECK_END] = "end",     [CHECK_OUTPUT] = "output",   [CHECK_TIME_INPUT] = "time",
    [CHECK_BATCH] = "batch", [CHECK_CLASSES] = "classes", [CHECK_PREDICTION] = "prediction",
    [CHECK_RANGE] = "range",
};

static const char *const severities[] = {
    [DFL_NOTE] = "note", [DFL_WARNING] = "warning", [DFL_ERROR] = "error"};

dfl_status doctor_find(dfl_doctor *d, check c, int severity, const char *format, ...) {
    char sentence[1024];
    va_list args;
    va_start(args, format);
    text_vformat(sentence, sizeof sentence, format, args);
    va_end(args);
    char *const fix = strchr(sentence, '\n');
    if (fix) *fix = 0;
    if (!mem_grow((void **)&d->findings, &d->cap, d->n + 1, sizeof *d->findings))
        return fail_memory();
    finding *const f = &d->findings[d->n];
    *f = (finding){c, severity, text_copy(sentence), text_copy(fix ? fix + 1 : "")};
    d->n++;
    return f->what && f->fix ? DFL_OK : fail_memory();
}

/* ---- making a report --------------------------------------------------------------------------- */

/* What is wrong with a model is a finding; what keeps us from looking is a failure. */
static dfl_status open_model(dfl_doctor *d, const char *options) {
    d->ran[CHECK_MODEL] = true;
    const dfl_status status = dfl_model_open(d->where, options, &d->model);
    switch (status) {
    case DFL_E_FORMAT:
    case DFL_E_KEY:
    case DFL_E_RANGE:
    case DFL_E_COMBINATION:
    case DFL_E_MODEL:
        return doctor_find(d, CHECK_MODEL, DFL_ERROR,
                           "%s\ncorrect what is named; docs/model-card.md and "
                           "docs/foreign-models.md list what is allowed",
                           dfl_last_message());
    default: return status;
    }
}

static dfl_status check_card(dfl_doctor *d) {
    const card *c = &d->model->card;
    d->ran[CHECK_CARD] = true;
    for (const char *p = c->warnings.data; p && *p;) {
        const int n = (int)strcspn(p, "\n");
        TRY(doctor_find(d, CHECK_CARD, DFL_WARNING, "%.*s\nrename the key, or take it out", n, p));
        p += n + (p[n] == '\n');
    }
    return DFL_OK;
}

/* A plan that does not compile is a finding, with the compiler's sentence; the rest of the spec is
   the caller's own text, which must be understood. */
static dfl_status make_plan(dfl_doctor *d, const char *spec) {
    opts o;
    TRY(opts_parse_words("plan", plan_options, spec, &o));
    d->budget = opt_get(&o, "nfe")->set ? (size_t)opt_int(&o, "nfe") : 0;
    opts_free(&o);
    d->ran[CHECK_PLAN] = true;
    const dfl_status status = dfl_plan_new(d->model, spec, &d->plan);
    if (status == DFL_OK || status == DFL_E_KEY || status == DFL_E_MEMORY) return status;
    return doctor_find(d, CHECK_PLAN, DFL_ERROR,
                       "%s\nchoose the number of steps, the times, the grid or the solver as that "
                       "sentence says",
                       dfl_last_message());
}

static dfl_status examine(dfl_doctor *d, const char *options, const char *spec) {
    TRY(open_model(d, options));
    if (!d->model) return DFL_OK;
    TRY(check_card(d));
    TRY(make_plan(d, spec));
    if (d->plan) TRY(doctor_check_plan(d));
    return doctor_check_network(d);
}

dfl_status dfl_doctor_new(const char *where, const char *options, const char *spec,
                          dfl_doctor **out) {
    if (!out) return fail(DFL_E_ARG, "dfl_doctor_new: out is NULL");
    *out = NULL;
    if (!where) return fail(DFL_E_ARG, "dfl_doctor_new: where is NULL");
    dfl_doctor *d = mem_array(1, sizeof *d);
    if (!d) return fail_memory();
    d->start_signal = d->start_divergence = d->end_noise = NAN;
    d->sample_min = d->sample_max = d->clean_slope = d->noise_slope = NAN;
    d->where = text_copy(where);
    const dfl_status status = d->where ? examine(d, options, spec ? spec : "") : fail_memory();
    if (status != DFL_OK)
        dfl_doctor_free(d);
    else
        *out = d;
    return status;
}

static void forget(dfl_doctor *d) {
    for (size_t i = 0; i < d->n; i++) {
        free(d->findings[i].what);
        free(d->findings[i].fix);
    }
    free(d->findings);
}

void dfl_doctor_free(dfl_doctor *d) {
    if (!d) return;
    forget(d);
    free(d->where);
    dfl_plan_free(d->plan);
    dfl_model_free(d->model);
    free(d);
}

size_t dfl_doctor_count(const dfl_doctor *d, int severity) {
    size_t count = 0;
    for (size_t i = 0; d && i < d->n; i++) count += d->findings[i].severity == severity;
    return count;
}

/* ---- a plan alone ------------------------------------------------------------------------------ */

dfl_status doctor_of_plan(dfl_model *model, dfl_plan *plan, size_t budget, doctor_lines *out) {
    dfl_doctor d = {.model = model, .plan = plan, .budget = budget};
    *out = (doctor_lines){0};
    dfl_status status = doctor_check_plan(&d);
    for (size_t i = 0; i < d.n && status == DFL_OK; i++) {
        const finding *const f = &d.findings[i];
        if (f->check == CHECK_PLAN) continue;
        text_add(f->severity == DFL_NOTE ? &out->notes : &out->warnings, "%s: %s; %s\n",
                 doctor_checks[f->check], f->what, f->fix);
    }
    if (out->warnings.failed || out->notes.failed) status = fail_memory();
    forget(&d);
    return status;
}

void doctor_lines_free(doctor_lines *lines) {
    text_free(&lines->warnings);
    text_free(&lines->notes);
}

/* ---- for people -------------------------------------------------------------------------------- */

enum { COLUMN = 9, FIX_COLUMN = 14 };

static void add_words(text *out, const char *head, size_t column, const char *format, ...) {
    char words[1200];
    va_list args;
    va_start(args, format);
    text_vformat(words, sizeof words, format, args);
    va_end(args);
    text_add(out, "%-*s", (int)column, head);
    text_wrap(out, words, column, column);
}

/* Checks that ran and found nothing, or that could not run. */
static void add_checks(const dfl_doctor *d, const char *head, bool ran, text *out) {
    text words = {0};
    for (int c = 0; c < CHECKS; c++) {
        bool found = false;
        for (size_t i = 0; i < d->n; i++) found = found || d->findings[i].check == (check)c;
        if (!found && d->ran[c] == ran)
            text_add(&words, "%s%s", words.len ? ", " : "", doctor_checks[c]);
    }
    if (words.len) add_words(out, head, COLUMN, "%s", words.data);
    if (words.failed) out->failed = true;
    text_free(&words);
}

static void add_numbers(const dfl_doctor *d, text *out) {
    if (d->plan)
        add_words(out, "plan", COLUMN, "%s, %zu steps, %zu evaluations", d->plan->meta.solver,
                  d->plan->steps, d->plan->nfe);
    if (isfinite(d->start_signal))
        add_words(out, "start", COLUMN,
                  "signal a/b = %.3g, divergence from the prior %.2g nats per "
                  "number",
                  d->start_signal, d->start_divergence);
    if (isfinite(d->end_noise)) add_words(out, "end", COLUMN, "noise b = %.3g", d->end_noise);
    if (isfinite(d->sample_min))
        add_words(out, "samples", COLUMN,
                  "98 %% of the numbers of a short test run from %.3g to %.3g", d->sample_min,
                  d->sample_max);
}

dfl_status dfl_doctor_to_text(const dfl_doctor *d, char *buf, size_t cap, size_t *need) {
    text out = {0};
    if (!d) return fail(DFL_E_ARG, "dfl_doctor_to_text: doctor is NULL");
    add_words(&out, "model", COLUMN, "%s", d->where);
    add_numbers(d, &out);
    for (int s = DFL_ERROR; s >= DFL_NOTE; s--)
        for (size_t i = 0; i < d->n; i++) {
            const finding *f = &d->findings[i];
            if (f->severity != s) continue;
            add_words(&out, severities[s], COLUMN, "%s: %s", doctor_checks[f->check], f->what);
            if (*f->fix) add_words(&out, "         fix:", FIX_COLUMN, "%s", f->fix);
        }
    add_checks(d, "fine", true, &out);
    add_checks(d, "not run", false, &out);
    return text_result(&out, buf, cap, need);
}

/* ---- for machines ------------------------------------------------------------------------------ */

dfl_status dfl_doctor_to_json(const dfl_doctor *d, char *buf, size_t cap, size_t *need) {
    text out = {0};
    if (!d) return fail(DFL_E_ARG, "dfl_doctor_to_json: doctor is NULL");
    text_add(&out, "{\"format\": \"driftless-doctor/1\", \"model\": ");
    json_add_text(&out, d->where);
    text_add(&out, ", \"errors\": %zu, \"warnings\": %zu, \"notes\": %zu, \"findings\": [",
             dfl_doctor_count(d, DFL_ERROR), dfl_doctor_count(d, DFL_WARNING),
             dfl_doctor_count(d, DFL_NOTE));
    for (size_t i = 0; i < d->n; i++) {
        const finding *f = &d->findings[i];
        text_add(&out, "%s{\"severity\": \"%s\", \"check\": \"%s\", \"what\": ", i ? ", " : "",
                 severities[f->severity], doctor_checks[f->check]);
        json_add_text(&out, f->what);
        text_add(&out, ", \"fix\": ");
        json_add_text(&out, f->fix);
        text_add(&out, "}");
    }
    text_add(&out, "], \"ran\": [");
    const char *separator = "";
    for (int c = 0; c < CHECKS; c++) {
        if (!d->ran[c]) continue;
        text_add(&out, "%s\"%s\"", separator, doctor_checks[c]);
        separator = ", ";
    }
    text_add(&out, "]");
    json_add_next_real(&out, "start_signal", d->start_signal);
    json_add_next_real(&out, "start_divergence", d->start_divergence);
    json_add_next_real(&out, "end_noise", d->end_noise);
    json_add_next_real(&out, "sample_min", d->sample_min);
    json_add_next_real(&out, "sample_max", d->sample_max);
    json_add_next_real(&out, "clean_slope", d->clean_slope);
    json_add_next_real(&out, "noise_slope", d->noise_slope);
    text_add(&out, "}");
    return text_result(&out, buf, cap, need);
}
