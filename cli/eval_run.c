/* The work of "driftless eval": opens both sides, gathers them, compares. Everything that can be
   refused is refused before the first picture. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval.h"
#include "open.h"
#include "shipped.h"
#include "spec.h"
#include "start.h"
#include "stop.h"
#include "study/stored.h"

enum { DRAWN = 10000, TICKS = 1000 }; /* samples of a model by default; parts of a picture's way */

static const char *model_folder(const char *path) {
    static const char prefix[] = "model:";
    return strncmp(path, prefix, sizeof prefix - 1) == 0 ? path + sizeof prefix - 1 : NULL;
}

/* ---- the model ------------------------------------------------------------------------------- */

/* Options that describe a sampler, and others that only a model has. */
static dfl_status refuse_sampler(const args *a) {
    static const char *const others[] = {"plan", "seed", "guidance", "classifier-guidance",
                                         "batch"};
    text spec = {0};
    dfl_status status = spec_make(a, &spec);
    if (status == DFL_OK && (spec.len > 0 || arg_given(a, "tuned")))
        status = fail(DFL_E_ARG, "options of a sampler go with model:FOLDER only");
    text_free(&spec);
    if (status == DFL_OK && start_given(a))
        status = fail(DFL_E_ARG, "--%s goes with model:FOLDER only", start_given(a));
    for (size_t i = 0; i < sizeof others / sizeof *others && status == DFL_OK; i++)
        if (arg_given(a, others[i]))
            status = fail(DFL_E_ARG, "--%s goes with model:FOLDER only", others[i]);
    return status;
}

static dfl_status read_plan(eval_job *j) {
    bool other_guidance;
    TRY(spec_refuse(j->args, "plan"));
    TRY(plan_load(arg(j->args, "plan")->text, &j->plan));
    return stored_check(j->plan, j->model, &other_guidance);
}

static dfl_status make_plan(eval_job *j) {
    spec_made made = {.quiet = arg_given(j->args, "quiet")};
    dfl_status status;
    if (arg_given(j->args, "plan")) {
        status = read_plan(j);
    } else {
        status = spec_make(j->args, &made.spec);
        if (status == DFL_OK) status = start_time(j->args, j->model, &made.spec);
        if (status == DFL_OK) status = spec_compile(j->args, j->model, &made);
        j->plan = made.plan;
    }
    spec_free(&made);
    if (status == DFL_OK && !made.quiet) status = plan_tell_warnings(j->plan);
    if (status == DFL_OK) status = start_tell_plan(j->args, j->model, j->plan);
    return status;
}

static int watch(void *user, double pictures) {
    eval_job *const j = user;
    if (stop_requested()) return WATCH_STOPPED;
    progress_add(&j->bar, (size_t)(pictures * TICKS));
    return 0;
}

static dfl_status draw_pictures(eval_job *j) {
    const args *const a = j->args;
    text start = {0}, name = {0};
    text_add(&start, "%s", "");
    text_add(&name, "%s", "");
    start_options(a, ",", &start);
    dfl_status status = start_name(a, &name);
    if (start.failed) status = fail_memory();
    const drawn_wish wish = {
        .model = j->model,
        .plan = j->plan,
        .seed = arg_given(a, "seed") ? (uint64_t)arg(a, "seed")->integer : 0,
        .first = arg_given(a, "first") ? (uint64_t)arg(a, "first")->integer : 0,
        .count = arg_given(a, "count") ? (size_t)arg(a, "count")->integer : DRAWN,
        .batch = arg_given(a, "batch") ? (size_t)arg(a, "batch")->integer : 64,
        .start = start.data,
        .start_name = name.data,
        .watch = watch,
        .user = j};
    if (status == DFL_OK) status = pictures_drawn(&wish, &j->made.pictures);
    text_free(&start);
    text_free(&name);
    return status;
}

static dfl_status open_drawn(eval_job *j, const char *folder) {
    const args *const a = j->args;
    text options = {0};
    text_add(&options, "threads=%lld", arg_given(a, "threads") ? arg(a, "threads")->integer : 0);
    dfl_status status =
        options.failed ? fail_memory() : dfl_model_open(folder, options.data, &j->model);
    text_free(&options);
    if (status != DFL_OK) j->code = CODE_MODEL;
    TRY(status);
    TRY(guide_model(a, &j->model));
    TRY(make_plan(j));
    return draw_pictures(j);
}

/* ---- sides ----------------------------------------------------------------------------------- */

static dfl_status open_extractor(eval_job *j) {
    if (j->extractor) return DFL_OK;
    text folder = {0};
    dfl_status status = shipped_extractor(j->args, &folder);
    if (status == DFL_OK)
        status = extractor_open(folder.data, (int)arg(j->args, "threads")->integer, &j->extractor);
    text_free(&folder);
    if (status != DFL_OK) j->code = CODE_MODEL;
    return status;
}

/* Pictures or ready-made features; `part`: the first so many, numbered as asked. */
static dfl_status open_files(eval_job *j, evaluated *e, bool part) {
    const args *const a = j->args;
    const size_t count = part && arg_given(a, "count") ? (size_t)arg(a, "count")->integer : 0;
    const uint64_t first = part && arg_given(a, "first") ? (uint64_t)arg(a, "first")->integer : 0;
    if (features_are_ready(e->path)) return features_ready(e->path, first, count, &e->features);
    const picture_wish wish = {e->path, first, count, {j->range[0], j->range[1]}};
    return pictures_open(&wish, &e->pictures);
}

static dfl_status open_statistics(evaluated *e, bool *done) {
    npz_kind kind = NPZ_PICTURES;
    if (text_ends_in(e->path, ".npz")) TRY(statistics_kind(e->path, &kind));
    *done = kind != NPZ_PICTURES;
    if (kind == NPZ_STATISTICS) return statistics_read(e->path, &e->sums);
    return kind == NPZ_GAUSSIAN ? statistics_gaussian(e->path, &e->foreign) : DFL_OK;
}

static dfl_status open_side(eval_job *j, evaluated *e, bool made) {
    const char *const folder = made ? model_folder(e->path) : NULL;
    bool done = false;
    if (!folder && made) TRY(refuse_sampler(j->args));
    if (!made && model_folder(e->path))
        return fail(DFL_E_ARG, "--ref: a model is no reference; pictures, features or statistics "
                               "of real data are");
    if (folder) {
        const dfl_status status = open_drawn(j, folder);
        if (status != DFL_OK) return status;
    } else {
        TRY(open_statistics(e, &done));
        if (!done) TRY(open_files(j, e, made));
    }
    if (!e->pictures) return DFL_OK;
    TRY(open_extractor(j));
    return features_of_pictures(e->pictures, j->extractor, &e->features);
}

static size_t width_of(const evaluated *e) {
    if (e->features) return features_width(e->features);
    return e->sums.d ? e->sums.d : e->foreign.d;
}

/* Digest of what made the features, or NULL if nobody knows. */
static dfl_status made_by(const evaluated *e, char digest[DIGEST_HEX]) {
    statistics fresh = {0};
    *digest = 0;
    if (e->features) TRY(features_statistics(e->features, &fresh));
    const statistics *const s = e->features ? &fresh : &e->sums;
    if (s->name && strcmp(s->name, features_ready_name) != 0)
        memcpy(digest, s->extractor, DIGEST_HEX);
    statistics_free(&fresh);
    return DFL_OK;
}

static dfl_status check_sides(eval_job *j) {
    const size_t made = width_of(&j->made), real = width_of(&j->real);
    char a[DIGEST_HEX], b[DIGEST_HEX];
    if (made != real)
        return fail(DFL_E_COMBINATION,
                    "%s has %zu features a picture and %s has %zu: they are of different "
                    "extractors",
                    j->generated, made, j->reference, real);
    TRY(made_by(&j->made, a));
    TRY(made_by(&j->real, b));
    if (*a && *b && strcmp(a, b) != 0)
        return fail(DFL_E_COMBINATION,
                    "%s and %s hold features of different extractors (digests %.12s and %.12s)",
                    j->generated, j->reference, a, b);
    if (*a && *b) return DFL_OK;
    text_add(&j->notes,
             "It is not known which extractor made %s: that it is the same is taken on "
             "trust.\n",
             *a ? j->reference : j->generated);
    return DFL_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool needs_features(const eval_job *j) {
    for (int m = 0; m < METRICS; m++)
        if (eval_wants(j, m) && metric_needs_features(m)) return true;
    return false;
}

static dfl_status check_kept(const eval_job *j) {
    static const char *const outputs[] = {"stats-out", "features-out"};
    for (int i = 0; i < 2 && !j->made.features; i++)
        if (arg_given(j->args, outputs[i]))
            return fail(DFL_E_ARG, "--%s: GENERATED is statistics already", outputs[i]);
    if (arg_given(j->args, "features") && !j->extractor)
        return fail(DFL_E_ARG, "--features: neither side has pictures to extract them from");
    return DFL_OK;
}

dfl_status eval_open(eval_job *j) {
    j->made.path = j->generated;
    j->real.path = j->reference;
    TRY(open_side(j, &j->made, true));
    if (j->reference) {
        TRY(open_side(j, &j->real, false));
        TRY(check_sides(j));
    }
    TRY(eval_choose(j));
    TRY(check_kept(j));
    return j->notes.failed ? fail_memory() : DFL_OK;
}

/* ---- gathering ------------------------------------------------------------------------------- */

static dfl_status checkpoint(eval_job *j) {
    const double began = seconds_now();
    if (j->made.kept) TRY(matrix_sync(j->made.kept));
    TRY(statistics_write(&j->made.sums, j->part.data));
    j->saved = seconds_now();
    j->saving = j->saved - began;
    return DFL_OK;
}

/* Seen from the start of a shard, the bar is right again. */
static void show(eval_job *j, size_t done) {
    j->bar.done = (double)TICKS * (double)(j->shown + done - 1);
    progress_add(&j->bar, TICKS);
}

static int after_made(void *user, size_t done) {
    eval_job *const j = user;
    show(j, done - j->begun);
    if (stop_requested()) return WATCH_STOPPED;
    const bool due = j->part.len > 0 && seconds_now() - j->saved >= 20 * j->saving;
    return due ? checkpoint(j) : DFL_OK;
}

static int after_real(void *user, size_t done) {
    show(user, done);
    return stop_requested() ? WATCH_STOPPED : 0;
}

/* What a run before this one left, or a finished file of which more is wanted. */
static dfl_status take_up(const eval_job *j, const gathering *g, const char **from) {
    *from = NULL;
    const char *const path = arg(j->args, "stats-out")->text;
    if (!path) return DFL_OK;
    const bool begun = access(j->part.data, F_OK) == 0;
    if (!begun && access(path, F_OK) != 0) return DFL_OK;
    *from = begun ? j->part.data : path;
    statistics_free(g->sums);
    TRY(statistics_read(*from, g->sums));
    return gather_check(g, *from);
}

/* The rows that belong to it. Where there are none, as beside a finished file, all of it is anew. */
static dfl_status take_up_rows(eval_job *j, gathering *g, const char *from) {
    const feature_source *const s = g->from;
    TRY(matrix_open(j->matrix_path.data, features_count(s), features_width(s), &j->made.kept));
    g->kept = j->made.kept;
    if (from && *g->sums->tail && matrix_kept(g->kept)) return gather_check(g, from);
    statistics_free(g->sums);
    return features_statistics(s, g->sums);
}

static dfl_status name_parts(eval_job *j, bool keep) {
    const char *const stats = arg(j->args, "stats-out")->text;
    const char *const out = arg(j->args, "features-out")->text;
    if (stats) text_add(&j->part, "%s.part", stats);
    if (keep && (out || stats))
        text_add(&j->matrix_path, out ? "%s.part" : "%s.features.part", out ? out : stats);
    return j->part.failed || j->matrix_path.failed ? fail_memory() : DFL_OK;
}

static dfl_status interrupted(eval_job *j, const gathering *g) {
    const size_t have = (size_t)statistics_count(g->sums), all = features_count(g->from);
    if (g->sums != &j->made.sums || j->part.len == 0)
        return fail(DFL_E_STOPPED, "interrupted; nothing was kept (--stats-out FILE keeps what is "
                                   "done)");
    if (have == 0) return fail(DFL_E_STOPPED, "interrupted before the first %d pictures", SHARD);
    TRY(checkpoint(j));
    return fail(DFL_E_STOPPED,
                "interrupted; %zu of %zu pictures stand in %s, and the same command goes on from "
                "there",
                have, all, j->part.data);
}

static dfl_status gather_made(eval_job *j) {
    evaluated *const e = &j->made;
    const bool keep = needs_features(j) || arg_given(j->args, "features-out");
    gathering g = {.from = e->features, .sums = &e->sums, .after = after_made, .user = j};
    TRY(name_parts(j, keep));
    const char *from;
    TRY(features_statistics(e->features, &e->sums));
    TRY(take_up(j, &g, &from));
    if (keep) TRY(take_up_rows(j, &g, from));
    if (statistics_count(g.sums) < features_count(g.from)) statistics_cut(g.sums);
    j->begun = (size_t)statistics_count(&e->sums);
    if (j->begun == features_count(e->features)) return DFL_OK;
    j->saved = seconds_now();
    dfl_status status = gather_shards(&g);
    if (status == WATCH_STOPPED) status = interrupted(j, &g);
    if (status == DFL_OK && j->part.len > 0) status = checkpoint(j);
    j->shown += features_count(e->features) - j->begun;
    return status;
}

static dfl_status gather_real(eval_job *j) {
    evaluated *const e = &j->real;
    const size_t width = features_width(e->features);
    gathering g = {.from = e->features, .sums = &e->sums, .after = after_real, .user = j};
    TRY(features_statistics(e->features, &e->sums));
    for (int h = 0; h < 2; h++) TRY(moments_new(width, &e->half[h]));
    g.half = e->half;
    if (needs_features(j)) TRY(matrix_open(NULL, features_count(e->features), width, &e->kept));
    g.kept = e->kept;
    const dfl_status status = gather_shards(&g);
    return status == WATCH_STOPPED ? interrupted(j, &g) : status;
}

dfl_status eval_gather(eval_job *j) {
    size_t all = 0;
    if (j->made.features) all += features_count(j->made.features);
    if (j->real.features) all += features_count(j->real.features);
    progress_start(&j->bar, !arg_given(j->args, "quiet"), all, TICKS);
    dfl_status status = DFL_OK;
    if (j->real.features && j->wanted) {
        status = gather_real(j);
        j->shown = features_count(j->real.features);
    }
    if (status == DFL_OK && j->made.features) status = gather_made(j);
    progress_end(&j->bar);
    return status;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static dfl_status borrow_features(evaluated *e, bool halves) {
    side *const s = &e->result;
    const size_t n = features_count(e->features), d = features_width(e->features);
    const float *x;
    TRY(matrix_map(e->kept, &x));
    s->x = (features){n, d, x};
    if (!halves) return DFL_OK;
    s->half_x[0] = (features){(n + 1) / 2, d, x};
    s->half_x[1] = (features){n / 2, d, x + (n + 1) / 2 * d};
    return DFL_OK;
}

static dfl_status make_side(evaluated *e, bool halves) {
    side *const s = &e->result;
    moments total;
    s->inception = NAN;
    if (e->foreign.d) {
        s->g = e->foreign;
        e->foreign = (gaussian){0};
        return DFL_OK;
    }
    TRY(statistics_total(&e->sums, &total, &s->inception));
    s->n = total.n;
    dfl_status status = gaussian_of(&total, &s->g);
    moments_free(&total);
    for (int h = 0; h < 2 && halves && status == DFL_OK; h++)
        if (e->half[1].n >= 2) status = gaussian_of(&e->half[h], &s->half[h]);
    if (status == DFL_OK && e->kept) status = borrow_features(e, halves);
    return status;
}

static int still(void *user, size_t done, size_t total) {
    (void)user, (void)done, (void)total;
    return stop_requested() ? WATCH_STOPPED : 0;
}

dfl_status eval_compare(eval_job *j) {
    const metric_watch watching = {still, NULL};
    if (j->wanted == 0) return DFL_OK;
    TRY(make_side(&j->made, false));
    if (j->reference) TRY(make_side(&j->real, j->real.features != NULL));
    const comparison c = {j->wanted, &j->made.result, j->reference ? &j->real.result : NULL,
                          &watching};
    const dfl_status status = compare(&c, j->chosen ? NULL : &j->notes, &j->list);
    if (status != WATCH_STOPPED) return status;
    return fail(DFL_E_STOPPED, "interrupted while the metrics were computed%s",
                j->part.len > 0 ? "; the same command goes on from there" : "");
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Of a run that was interrupted, and that this one went on from without features. */
static dfl_status forget_rows(const char *stats) {
    text path = {0};
    text_add(&path, "%s.features.part", stats);
    const dfl_status status = path.failed ? fail_memory() : DFL_OK;
    if (status == DFL_OK) unlink(path.data);
    text_free(&path);
    return status;
}

/* Finished statistics say nothing of the features that were kept beside them. */
dfl_status eval_finish(eval_job *j) {
    const char *const stats = arg(j->args, "stats-out")->text;
    const char *const out = arg(j->args, "features-out")->text;
    if (out) TRY(matrix_rename(j->made.kept, out));
    if (stats && access(j->part.data, F_OK) == 0) {
        *j->made.sums.tail = 0;
        TRY(statistics_write(&j->made.sums, stats));
        if (unlink(j->part.data) != 0)
            return fail(DFL_E_IO, "%s: %s", j->part.data, strerror(errno));
    }
    if (!out) matrix_remove(j->made.kept);
    if (stats && !j->made.kept) TRY(forget_rows(stats));
    j->finished = true;
    return DFL_OK;
}

static void close_side(evaluated *e) {
    features_free(e->features);
    pictures_free(e->pictures);
    statistics_free(&e->sums);
    matrix_free(e->kept);
    for (int h = 0; h < 2; h++) {
        moments_free(&e->half[h]);
        gaussian_free(&e->result.half[h]);
    }
    gaussian_free(&e->foreign);
    gaussian_free(&e->result.g);
}

/* Features are of use to the next run only if it finds statistics that say how far they go. */
void eval_close(eval_job *j) {
    const bool begun = j->part.len > 0 && access(j->part.data, F_OK) == 0;
    if (!j->finished && !begun) matrix_remove(j->made.kept);
    close_side(&j->made);
    close_side(&j->real);
    dfl_plan_free(j->plan);
    dfl_model_free(j->model);
    extractor_free(j->extractor);
    text_free(&j->part);
    text_free(&j->matrix_path);
    text_free(&j->notes);
}
