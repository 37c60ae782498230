/* "driftless sweep --rerun": one number of someone's sweep, drawn and measured again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "open.h"
#include "shipped.h"
#include "sweep.h"

/* The same CPU gives the same bits; another one may round differently. */
static const double same_within = 1e-6;

/* Options that say what is drawn would be ignored: the capsule says it. */
static dfl_status check_options(const args *a) {
    static const char *const allowed[] = {"rerun", "peer", "ref", "features", "threads", "quiet"};
    for (const arg_row *row = a->command->rows; row->name; row++) {
        bool fine = !arg_given(a, row->name);
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
            fine = fine || strcmp(row->name, allowed[i]) == 0;
        if (!fine)
            return fail(DFL_E_ARG, "--%s cannot stand beside --rerun: the capsule has settled it",
                        row->name);
    }
    return DFL_OK;
}

static dfl_status refuse_command(const sweep_way *way, const char *path) {
    text words = {0};
    for (size_t i = 0; way->argv[i]; i++) text_add(&words, " %s", way->argv[i]);
    const dfl_status status =
        words.failed ? fail_memory()
                     : fail(DFL_E_ARG,
                            "%s would start a program; if you trust it, say so with --peer and its "
                            "name and command: %s=%s",
                            path, way->label, words.data + 1);
    text_free(&words);
    return status;
}

/* A capsule is a stranger's file: the program it names is started only if the caller names it, too. */
static dfl_status check_peer(const args *a, const char *path, const sweep_way *way) {
    sweep given = {0};
    if (!way->argv)
        return arg_given(a, "peer")
                   ? fail(DFL_E_ARG, "--peer: no program drew the cell of %s, a plan did", path)
                   : DFL_OK;
    if (!arg_given(a, "peer")) return refuse_command(way, path);
    dfl_status status = sweep_add_peers(a, &given);
    bool named = false;
    for (size_t i = 0; i < given.nways; i++) named = named || sweep_same_peer(&given.way[i], way);
    if (status == DFL_OK && !named) status = refuse_command(way, path);
    sweep_free(&given);
    return status;
}

static dfl_status open_capsule_model(sweep_job *j, const capsule *c) {
    text options = {0};
    sweep *s = j->s;
    const args *a = j->args;
    text_add(&options, "threads=%lld", arg_given(a, "threads") ? arg(a, "threads")->integer : 0);
    j->code = CODE_MODEL;
    s->model_where = a->noperands ? a->operand[0] : c->model;
    const dfl_status status =
        options.failed ? fail_memory() : dfl_model_open(s->model_where, options.data, &s->model);
    text_free(&options);
    TRY(status);
    j->code = CODE_BY_STATUS;
    if (isfinite(c->guidance)) TRY(dfl_model_guide(s->model, c->guidance, &s->model));
    if (isfinite(c->classifier_guidance))
        TRY(dfl_model_guide_classifier(s->model, c->classifier_guidance, NULL, NULL, &s->model));
    return DFL_OK;
}

static dfl_status draw_again(sweep_job *j, const capsule *c) {
    const args *a = j->args;
    sweep *s = j->s;
    TRY(open_capsule_model(j, c));
    if (arg_given(a, "features")) TRY(shipped_extractor(a, &j->features_given));
    s->extractor_where = arg_given(a, "features") ? j->features_given.data : c->features;
    s->reference_where = arg_given(a, "ref") ? arg(a, "ref")->text : c->reference;
    TRY(sweep_open_extractor(j, s->extractor_where));
    TRY(sweep_frame_fill(s));
    TRY(sweep_reference_look(s, s->reference_where));
    TRY(capsule_check(c, s));
    TRY(sweep_reference_load(s, s->reference_where));
    progress_start(&j->bar, !arg_given(a, "quiet"), sweep_evaluations(s), 1);
    const dfl_status status = sweep_draw(s, &s->cell[0]);
    progress_end(&j->bar);
    TRY(status);
    const char *note = s->cell[0].result.note;
    return *note ? fail(DFL_E_FORMAT, "this time there is no number: %s", note) : DFL_OK;
}

static dfl_status compare(const sweep_job *j, const capsule *c) {
    const sweep_result *now = &j->s->cell[0].result, *then = &c->result;
    char cpu[160];
    text out = {0};
    text_add(&out, "%s, %d evaluations, seed %llu\nrecorded  ", j->s->way[0].label, j->s->nfe[0],
             (unsigned long long)j->s->seed[0]);
    text_real(&out, then->fid);
    text_add(&out, "\nagain     ");
    text_real(&out, now->fid);
    const bool bits = strcmp(now->features, then->features) == 0;
    const bool same = fabs(now->fid - then->fid) <= same_within * fabs(then->fid) + 1e-9;
    text_add(&out, bits ? "\nthe same features, bit for bit\n" : "\nother features\n");
    dfl_status status = out.failed ? fail_memory() : DFL_OK;
    if (status == DFL_OK && !arg_given(j->args, "quiet")) status = print_page(out.data);
    text_free(&out);
    TRY(status);
    if (same) return DFL_OK;
    const char *here = cpu_name(cpu, sizeof cpu);
    return fail(DFL_E_NONFINITE,
                "the numbers differ by %.3g: recorded by driftless %s on %s, here %s on %s",
                now->fid - then->fid, c->version, c->cpu, dfl_version(), here);
}

dfl_status sweep_rerun(sweep_job *j, const char *path) {
    capsule c = {0};
    TRY(check_options(j->args));
    TRY(capsule_open(path, &c, j->s));
    dfl_status status = check_peer(j->args, path, &j->s->way[0]);
    if (status == DFL_OK) status = draw_again(j, &c);
    if (status == DFL_OK) status = compare(j, &c);
    capsule_close(&c);
    return status;
}
