/* "driftless sample" from a time below 1: options of the start, and the mismatch meter, which says
   before anything is sampled how far the start is from the law of the data at that time. */
#include <stdio.h>

#include "prior/prior.h"
#include "run/run.h"
#include "sample.h"
#include "spec.h"
#include "start.h"
#include "study/ode.h"

static const char *const options[] = {"prior", "prior-map", "data-moments"};

const char *start_given(const args *a) {
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (arg_given(a, options[i])) return options[i];
    return NULL;
}

dfl_status start_refuse(const args *a) {
    if (arg_given(a, "prior-map") && !arg_given(a, "prior") && !arg_given(a, "data-moments"))
        return fail(DFL_E_ARG, "--prior-map needs --prior or, for flow, --data-moments");
    return DFL_OK;
}

void start_options(const args *a, const char *before, text *out) {
    static const char *const keys[] = {"prior", "prior_map", "data_moments"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (!arg_given(a, options[i])) continue;
        text_add(out, "%s%s=", before, keys[i]);
        opt_quote(out, arg(a, options[i])->text);
    }
}

dfl_status start_name(const args *a, text *out) {
    char hex[DIGEST_HEX];
    if (arg_given(a, "prior")) {
        TRY(prior_digest(arg(a, "prior")->text, hex));
        text_add(out, " prior %s", hex);
    }
    if (arg_given(a, "data-moments")) {
        TRY(digest_file(arg(a, "data-moments")->text, hex));
        text_add(out, " data-moments %s", hex);
    }
    if (arg_given(a, "prior-map")) text_add(out, " prior-map %s", arg(a, "prior-map")->text);
    return out->failed ? fail_memory() : DFL_OK;
}

static start_law *law_of(const job *j) {
    return j->adaptive ? j->ode->start : j->run->start;
}

/* Normals of a noise file would be ignored beside states that are given, and by a prior, which draws
   by seed and index. A run that draws nothing has none to save. */
static dfl_status check_noise(const job *j) {
    const bool own = start_is_own(law_of(j)) && !law_of(j)->flow;
    const bool none =
        (own || j->init.data) && (j->adaptive || j->plan->draws + j->plan->picks == 0);
    if (j->noise.saving && none)
        return fail(DFL_E_COMBINATION, "--save-noise: this run draws no numbers to be saved");
    if (!j->noise.path || j->noise.file[DFL_DRAW_START].rank < 0) return DFL_OK;
    if (j->init.data)
        return fail(DFL_E_COMBINATION,
                    "%s holds start states in noise, but --init gives them: leave out one of the "
                    "two",
                    j->noise.path);
    if (!own) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "%s holds start states in noise, but --prior draws them by its own density: take "
                "--prior-map flow, or leave out one of the two",
                j->noise.path);
}

dfl_status start_say(start_law *law) {
    text out = {0}, warnings = {0};
    dfl_status status = start_print(law, &out);
    if (status == DFL_OK) status = start_warn(law, &warnings);
    if (out.failed || warnings.failed) status = fail_memory();
    if (status == DFL_OK) fprintf(stderr, "driftless: %s", out.data);
    if (status == DFL_OK) tell_warnings(warnings.data);
    text_free(&out);
    text_free(&warnings);
    return status;
}

/* A prior that was fitted at one time is good there only: so that is where the run begins, unless
   another time was asked for. */
dfl_status start_time(const args *a, const dfl_model *model, text *spec) {
    const char *file = arg(a, "prior")->text, *law = arg(a, "process")->text;
    dfl_status status;
    bool fitted;
    double t;
    if (!file || arg_given(a, "t-start") || arg_given(a, "plan")) return DFL_OK;
    if (spec_is_auto(a, &status)) return status;
    TRY(start_time_of_prior(file, law ? law : model->card.process, &fitted, &t));
    if (!fitted) return DFL_OK;
    text_add(spec, "%st_start=%s", spec->len ? " " : "", real_text(t).s);
    if (spec->failed) return fail_memory();
    if (!arg_given(a, "quiet"))
        fprintf(stderr, "driftless: T = %.6g, where %s was fitted\n", t, file);
    return DFL_OK;
}

/* Said where a start was chosen. A last time of the card's that leaves data in the noise is for the
   doctor to find. What the record will hold is measured now, so that it cannot fail when all is
   drawn. */
dfl_status start_tell(job *j) {
    start_law *const law = law_of(j);
    const bool asked =
        start_is_own(law) || arg_given(j->args, "data-moments") || arg_given(j->args, "t-start");
    const bool cut = law->t < 0.95 * j->model->card.t_max; /* a plan from a file may have chosen */
    TRY(check_noise(j));
    if (j->init.data) return DFL_OK;
    if ((asked || cut) && !arg_given(j->args, "quiet")) return start_say(law);
    return arg_given(j->args, "json") ? start_measure(law) : DFL_OK;
}

dfl_status start_tell_plan(const args *a, dfl_model *m, const dfl_plan *plan) {
    const bool choice = command_row(a->command, "--prior") != NULL;
    bool asked = arg_given(a, "t-start") || (choice && start_given(a));
    text run_options = {0};
    dfl_run *run = NULL; /* for its start alone */
    if (arg_given(a, "quiet")) return DFL_OK;
    text_add(&run_options, "batch=1");
    if (choice) start_options(a, ",", &run_options);
    dfl_status status =
        run_options.failed ? fail_memory() : dfl_run_new(plan, m, run_options.data, &run);
    text_free(&run_options);
    TRY(status);
    asked = asked || run->start->t < 0.95 * m->card.t_max;
    if (asked) status = start_say(run->start);
    dfl_run_free(run);
    return status;
}

/* States of --init are their own: then null. */
dfl_status start_record(const job *j, json_t **out) {
    if (j->init.data) {
        *out = json_null();
        return DFL_OK;
    }
    text json = {0};
    TRY(start_json(law_of(j), &json));
    *out = json.failed ? NULL : json_loads(json.data, JSON_REJECT_DUPLICATES, NULL);
    text_free(&json);
    return *out ? DFL_OK : fail_memory();
}
