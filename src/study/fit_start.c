/* Where the teacher, the student and whoever they are compared with start: normals, or what the
   options of a run say of a start below t = 1 (run/start.h). */
#include "prior/prior.h"
#include "run/run.h"
#include "study/fit.h"

/* Those of the options that a run knows, too; the first two are files. */
static const char *const keys[] = {"prior", "data_moments", "prior_map"};
enum { PRIOR = 0, FILES = 2, KEYS = sizeof keys / sizeof *keys };

static dfl_status read_options(fit *f) {
    text_add(&f->start, "%s", "");
    text_add(&f->start_files, "%s", "");
    for (int i = 0; i < KEYS; i++) {
        const opts one = {.n = 1, .v = {*opt_get(&f->spec, keys[i])}};
        char hex[DIGEST_HEX];
        if (!one.v[0].given) continue;
        text_add(&f->start, ",");
        opts_print(&one, &f->start);
        if (i >= FILES) continue;
        TRY(i == PRIOR ? prior_digest(one.v[0].text, hex) : digest_file(one.v[0].text, hex));
        text_add(&f->start_files, "%s %s\n", keys[i], hex);
    }
    return f->start.failed || f->start_files.failed ? fail_memory() : DFL_OK;
}

/* A run is opened for the sake of its checks and of what it says. */
static dfl_status try_start(fit *f) {
    text options = {0};
    dfl_run *run = NULL;
    text_add(&options, "dtype=float64,batch=1%s", f->start.data);
    dfl_status status =
        options.failed ? fail_memory() : dfl_run_new(f->teacher, f->model, options.data, &run);
    const bool asked =
        status == DFL_OK && (start_is_own(run->start) || opt_get(&f->spec, "t_start")->given);
    if (asked) status = start_print(run->start, &f->start_about);
    if (asked && status == DFL_OK) status = start_warn(run->start, &f->start_warnings);
    if (f->start_about.failed || f->start_warnings.failed) status = fail_memory();
    dfl_run_free(run);
    text_free(&options);
    return status;
}

dfl_status fit_start_new(fit *f) {
    const bool map = opt_get(&f->spec, "prior_map")->given;
    if (map && !opt_text(&f->spec, "prior") && !opt_text(&f->spec, "data_moments"))
        return fail(DFL_E_ARG, "fit: prior_map needs prior or, for flow, data_moments");
    TRY(read_options(f));
    const dfl_status status = try_start(f);
    return status == DFL_OK ? DFL_OK : fail_in(status, "fit");
}

void fit_start_name(const fit *f, text *out) {
    if (f->start.len == 0) return;
    text_add(out, "%sprior_map %s\n", f->start_files.data, opt_text(&f->spec, "prior_map"));
}

void fit_start_say(const fit *f, text *out) {
    if (f->start.len > 0) text_add(out, "; starts at t = %.6g: %s", f->t[0], f->start.data + 1);
}
