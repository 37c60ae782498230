/* "driftless sweep": many solvers at many budgets, from the same starts, cell by cell, into a folder
   that a later call goes on from. */
#include "sweep.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "open.h"
#include "output.h"
#include "shipped.h"
#include "spec.h"
#include "start.h"
#include "stop.h"

static int run_sweep(const args *a);

static const arg_row rows[] = {
    {0, "solvers", NULL, "LIST", NULL,
     "required: solvers apart by blanks, each SOLVER or SOLVER@GRID", ARG_TEXT, 0, 0},
    {0, "nfe", NULL, "N[,N...]", NULL, "required: budgets of network evaluations per sample",
     ARG_TEXT, 0, 0},
    {'r', "ref", NULL, "PATH", NULL,
     "required: real pictures (a folder of .png, .npz, .npy, idx) or statistics (.npz)", ARG_FILE,
     0, 0},
    SHIPPED_EXTRACTOR_ROW,
    {'o', "output", NULL, "FOLDER", NULL,
     "required: where cells, tables and report are kept; what is finished there is not done again",
     ARG_FILE, 0, 0},
    {0, "size", NULL, "screen|medium|final", "screen",
     "1000 samples of 1 seed, 2000 of 3, or 10000 of 3", ARG_CHOICE, 0, 0},
    {'n', "samples", NULL, "N", "as --size says", "samples of each seed", ARG_INT, 2,
     SWEEP_SAMPLES_MAX},
    {'s', "seeds", NULL, "S[,S...]", "0 or 0,1,2", "seeds; each is a cell of its own", ARG_TEXT, 0,
     0},
    {0, "grid", "scheduler", "TEXT", "power:kappa=2", "time grid of solvers without one", ARG_TEXT,
     0, 0},
    {0, "peer", NULL, "LIST", NULL,
     "rivals' programs, NAME=PROGRAM ARGS..., apart by \";\" (docs/sweep.md)", ARG_TEXT, 0, 0},
    {0, "baseline", NULL, "S@GRID", "the best at each budget",
     "solver that the others are compared with", ARG_TEXT, 0, 0},
    {0, "bootstrap", NULL, "B", "200", "replicates behind the intervals; 0: none", ARG_INT, 0, 1e5},
    {0, "process", NULL, "TEXT", "the card's", "forward process and its options", ARG_TEXT, 0, 0},
    {0, "t-start", NULL, "T", "the card's t_max", "time to start from", ARG_REAL, 0, 1},
    {0, "t-end", NULL, "T", "the card's t_min", "time to end at", ARG_REAL, 0, 1},
    {0, "denoise", NULL, NULL, NULL, "one more evaluation, to land on clean samples", ARG_FLAG, 0,
     0},
    GUIDANCE_ROWS,
    {'c', "class", NULL, "C", "sample i has class i mod C", "number of a class, for all samples",
     ARG_INT, 0, 1e9},
    {0, "dry-run", NULL, NULL, NULL, "print what it would cost, and stop", ARG_FLAG, 0, 0},
    {0, "rerun", NULL, "CAPSULE", NULL,
     "draw the cell of a capsule again and compare the number; --ref, --features and MODEL say "
     "where things are now, --peer that its program may be started",
     ARG_FILE, 0, 0},
    {'t', "threads", NULL, "T", "all cores", "threads of the networks", ARG_INT, 0, 1024},
    {'q', "quiet", NULL, NULL, NULL, "no progress, no cost and no table", ARG_FLAG, 0, 0},
    ROWS_END};

const command command_sweep = {
    "sweep",
    "MODEL --solvers LIST --nfe N[,N...] --ref PATH -o FOLDER [options]",
    "Compares solvers, time grids and other programs at several budgets: the Frechet distance of "
    "their samples to a reference, with intervals of paired differences, a plot and a report. All "
    "cells of a seed have the same starts and labels. Interrupted, it goes on when the same "
    "command is "
    "given again.",
    "example:\n  driftless sweep models/fashion-vp --solvers 'ddim deis:order=3 unipc@logsnr' \\\n"
    "      --nfe 5,10,20 --ref train-images-idx3-ubyte.gz \\\n"
    "      --features models/fashion-classifier -o sweep --dry-run\n",
    0,
    1,
    rows,
    run_sweep};

/* ---- what is asked --------------------------------------------------------------------------- */

int sweep_watch(void *user, size_t done) {
    sweep_job *j = user;
    progress_add(&j->bar, done);
    return stop_requested() ? WATCH_STOPPED : 0;
}

dfl_status sweep_absolute(const char *path, char **out) {
    const char *mixture = mixture_path(path);
    char *found = realpath(mixture ? mixture : path, NULL);
    text t = {0};
    text_add(&t, "%s%s", mixture ? "mixture:" : "", found ? found : mixture ? mixture : path);
    free(found);
    if (t.failed) text_free(&t);
    *out = t.data;
    return *out ? DFL_OK : fail_memory();
}

/* "1,2,5": take() gets each number. */
static dfl_status each_number(const char *option, const char *list, uint64_t most,
                              dfl_status (*take)(sweep *s, uint64_t n), sweep *s) {
    while (true) {
        char word[32];
        uint64_t n = 0;
        const size_t length = strcspn(list, ",");
        bool good = length > 0 && length < sizeof word;
        if (good) {
            memcpy(word, list, length);
            word[length] = 0;
            good = text_to_u64(word, &n) && n <= most;
        }
        if (!good)
            return fail(DFL_E_ARG, "--%s: \"%.*s\" is not a whole number up to %llu", option,
                        length < 40 ? (int)length : 40, list, (unsigned long long)most);
        TRY(take(s, n));
        if (!list[length]) return DFL_OK;
        list += length + 1;
    }
}

static dfl_status take_budget(sweep *s, uint64_t n) {
    if (n < 1) return fail(DFL_E_ARG, "--nfe: a budget has one evaluation at least");
    return sweep_add_budget(s, (int)n, true);
}

static dfl_status take_seed(sweep *s, uint64_t n) {
    for (size_t i = 0; i < s->nseeds; i++)
        if (s->seed[i] == n)
            return fail(DFL_E_ARG, "--seeds: %llu is given twice", (unsigned long long)n);
    if (s->nseeds == SWEEP_SEEDS_MAX)
        return fail(DFL_E_RANGE, "--seeds: at most %d seeds", SWEEP_SEEDS_MAX);
    s->seed[s->nseeds++] = n;
    return DFL_OK;
}

static dfl_status choose_size(const args *a, sweep *s) {
    static const struct {
        const char *name, *seeds;
        size_t samples;
    } sizes[] = {{"screen", "0", 1000}, {"medium", "0,1,2", 2000}, {"final", "0,1,2", 10000}};
    size_t i = 0;
    while (arg_given(a, "size") && strcmp(arg(a, "size")->text, sizes[i].name) != 0) i++;
    s->frame.samples =
        arg_given(a, "samples") ? (size_t)arg(a, "samples")->integer : sizes[i].samples;
    const char *seeds = arg_given(a, "seeds") ? arg(a, "seeds")->text : sizes[i].seeds;
    return each_number("seeds", seeds, INT64_MAX, take_seed, s);
}

static dfl_status check_given(const args *a) {
    static const char *const needed[] = {"solvers", "nfe", "ref", "output"};
    if (a->noperands != 1)
        return fail(DFL_E_ARG, "usage: driftless sweep %s", a->command->operands);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        const bool peers_do = i == 0 && arg_given(a, "peer");
        if (!arg_given(a, needed[i]) && !peers_do)
            return fail(DFL_E_ARG, "sweep needs --%s%s; usage: driftless sweep %s", needed[i],
                        i == 0 ? " or --peer" : "", a->command->operands);
    }
    if (arg_given(a, "peer") && (arg_given(a, "guidance") || arg_given(a, "classifier-guidance")))
        return fail(DFL_E_ARG, "--peer: other programs are not called with guidance");
    return DFL_OK;
}

static dfl_status command_line(sweep_job *j) {
    text_add(&j->command, "driftless");
    for (int i = 1; i < j->args->argc; i++) {
        const char *word = j->args->argv[i];
        const bool plain = *word && !word[strcspn(word, " \t\n\"'\\$`;&|<>()*?[]{}~#!")];
        text_add(&j->command, plain ? " %s" : " '", word);
        if (plain) continue;
        for (; *word; word++) text_add(&j->command, *word == '\'' ? "'\\''" : "%c", *word);
        text_add(&j->command, "'");
    }
    return j->command.failed ? fail_memory() : DFL_OK;
}

dfl_status sweep_add_peers(const args *a, sweep *s) {
    static const char between[] = "; \t\n";
    const char *list = arg(a, "peer")->text;
    list += strspn(list, between);
    if (!*list) return fail(DFL_E_ARG, "--peer: \"%s\" names no program", arg(a, "peer")->text);
    while (*list) {
        const size_t n = strcspn(list, ";");
        text one = {0};
        text_add(&one, "%.*s", n < INT_MAX ? (int)n : INT_MAX, list);
        const dfl_status status = one.failed ? fail_memory() : sweep_add_peer(s, one.data);
        text_free(&one);
        TRY(status);
        list += n;
        list += strspn(list, between);
    }
    return DFL_OK;
}

static dfl_status add_wishes(const args *a, sweep *s) {
    const char *grid = arg_given(a, "grid") ? arg(a, "grid")->text : "power:kappa=2";
    TRY(spec_refuse_auto(a, "solvers"));
    TRY(spec_refuse_auto(a, "grid"));
    TRY(each_number("nfe", arg(a, "nfe")->text, SWEEP_NFE_MAX, take_budget, s));
    if (arg_given(a, "solvers")) TRY(sweep_add_ways(s, arg(a, "solvers")->text, grid));
    if (arg_given(a, "peer")) TRY(sweep_add_peers(a, s));
    if (!arg_given(a, "baseline")) return DFL_OK;
    for (size_t i = 0; i < s->nways; i++)
        if (strcmp(s->way[i].label, arg(a, "baseline")->text) == 0) return DFL_OK;
    return fail(DFL_E_ARG,
                "--baseline: \"%s\" is none of the sweep's; they are written SOLVER@GRID, or a "
                "peer's name",
                arg(a, "baseline")->text);
}

/* ---- opening --------------------------------------------------------------------------------- */

dfl_status sweep_open_extractor(sweep_job *j, const char *where) {
    const int threads = arg_given(j->args, "threads") ? (int)arg(j->args, "threads")->integer : 0;
    j->code = CODE_MODEL;
    TRY(extractor_open(where, threads, &j->s->extractor));
    j->code = CODE_BY_STATUS;
    return DFL_OK;
}

static dfl_status open_all(sweep_job *j) {
    const args *a = j->args;
    sweep *s = j->s;
    j->code = CODE_MODEL;
    TRY(open_model(a, &s->model));
    j->code = CODE_BY_STATUS;
    TRY(guide_model(a, &s->model));
    TRY(shipped_extractor(a, &j->features_given));
    TRY(sweep_open_extractor(j, j->features_given.data));
    s->frame.labelled = arg_given(a, "class");
    if (s->frame.labelled) s->frame.label = arg(a, "class")->integer;
    if (s->frame.labelled) TRY(card_check_labels(&s->model->card, &s->frame.label, 1));
    TRY(sweep_frame_fill(s));
    TRY(sweep_reference_look(s, arg(a, "ref")->text));
    TRY(sweep_absolute(a->operand[0], &j->model_where));
    TRY(sweep_absolute(j->features_given.data, &j->features_where));
    TRY(sweep_absolute(arg(a, "ref")->text, &j->reference_where));
    s->model_where = j->model_where;
    s->extractor_where = j->features_where;
    s->reference_where = j->reference_where;
    return DFL_OK;
}

static dfl_status prepare(sweep_job *j) {
    static const char *const words[] = {"process", "t-start", "t-end"};
    const args *a = j->args;
    sweep *s = j->s;
    text keys = {0};
    TRY(check_given(a));
    TRY(choose_size(a, s));
    dfl_status status = spec_add(a, words, sizeof words / sizeof *words, true, &keys);
    text_add(&j->tail, "%s%s%s", keys.len ? " " : "", keys.len ? keys.data : "",
             arg_given(a, "denoise") ? " denoise=1" : "");
    text_free(&keys);
    TRY(status);
    TRY(command_line(j));
    if (j->tail.failed) return fail_memory();
    s->frame.tail = j->tail.data;
    s->command = j->command.data;
    s->folder = arg(a, "output")->text;
    s->replicates = arg_given(a, "bootstrap") ? (size_t)arg(a, "bootstrap")->integer : 200;
    TRY(open_all(j));
    TRY(sweep_folder_open(s));
    TRY(add_wishes(a, s));
    TRY(sweep_lay_out(s));
    return sweep_folder_read(s);
}

/* All cells have the same starts. */
static dfl_status tell_start(sweep_job *j) {
    const sweep *s = j->s;
    for (size_t i = 0; i < s->npoints; i++)
        if (s->point[i].plan) return start_tell_plan(j->args, s->model, s->point[i].plan);
    return DFL_OK;
}

/* ---- the cost -------------------------------------------------------------------------------- */

static void add_time(double seconds, text *out) {
    if (seconds < 100)
        text_add(out, "%.0f s", ceil(seconds));
    else if (seconds < 6000)
        text_add(out, "%.0f min", ceil(seconds / 60));
    else
        text_add(out, "%.1f h", seconds / 3600);
}

static void add_counts(const sweep *s, text *out) {
    size_t wanted = 0, finished = 0, refused = 0, ways = 0, budgets = 0;
    for (size_t i = 0; i < s->ncells; i++) {
        const sweep_cell *c = &s->cell[i];
        wanted += c->wanted;
        finished += c->wanted && c->done && !*c->result.note;
        refused += c->wanted && *s->point[c->point].note;
    }
    for (size_t i = 0; i < s->nways; i++) ways += s->way[i].wanted;
    for (size_t i = 0; i < s->nbudgets; i++) budgets += s->nfe_wanted[i];
    text_add(out, "cells     %zu: %zu solver%s x %zu budget%s x %zu seed%s (", wanted, ways,
             ways == 1 ? "" : "s", budgets, budgets == 1 ? "" : "s", s->nseeds,
             s->nseeds == 1 ? "" : "s");
    for (size_t i = 0; i < s->nseeds; i++)
        text_add(out, "%s%llu", i ? "," : "", (unsigned long long)s->seed[i]);
    text_add(out, ") of %zu samples\n", s->frame.samples);
    text_add(out, "to do     %zu; %zu finished, %zu refused by their solver\n", sweep_left(s),
             finished, refused);
}

/* Also where no cell is left to draw: the intervals are computed by every call. */
static dfl_status tell_cost(sweep_job *j) {
    sweep *s = j->s;
    double evaluations = 0, pictures = 0, rate = 0;
    text out = {0};
    const size_t left = sweep_left(s), work = sweep_evaluations(s);
    const size_t replicates = sweep_replicates(s);
    if (arg_given(j->args, "quiet")) return DFL_OK;
    if (left > 0) TRY(sweep_probe(s, &evaluations, &pictures));
    if (replicates > 0) TRY(sweep_probe_replicate(s, &rate));
    add_counts(s, &out);
    if (left > 0) {
        const double seen = (double)(left * s->frame.samples);
        text_add(&out, "cost      %zu evaluations at %.0f/s, %.0f pictures at %.0f/s: about ", work,
                 evaluations, seen, pictures);
        add_time((double)work / evaluations + seen / pictures, &out);
        text_add(&out, "\n");
    }
    if (replicates > 0) {
        text_add(&out, "intervals %zu replicates at %.*f/s: about ", replicates, rate < 10, rate);
        add_time((double)replicates / rate, &out);
        text_add(&out, "\n");
    }
    text_add(&out, "disk      %.1f MB of features in %s\n",
             1e-6 * 4 * (double)extractor_width(s->extractor) *
                 (double)(s->ncells * s->frame.samples + s->frame.reference_count),
             s->folder);
    const dfl_status status = out.failed ? fail_memory() : print_page(out.data);
    text_free(&out);
    return status;
}

/* ---- the work -------------------------------------------------------------------------------- */

static dfl_status tell_cell(sweep_job *j, const sweep_cell *c) {
    const sweep_point *p = &j->s->point[c->point];
    text line = {0};
    if (arg_given(j->args, "quiet")) return DFL_OK;
    progress_hide(&j->bar);
    text_add(&line, "%4d  seed %llu  ", p->nfe, (unsigned long long)c->seed);
    if (*c->result.note)
        text_add(&line, "%s: no number: %s\n", j->s->way[p->way].label, c->result.note);
    else
        text_add(&line, "%8.*f  %s\n", c->result.fid < 1 ? 4 : 2, c->result.fid,
                 j->s->way[p->way].label);
    const dfl_status status = line.failed ? fail_memory() : print_page(line.data);
    text_free(&line);
    return status;
}

static dfl_status interrupted(const sweep *s) {
    size_t done = 0;
    for (size_t i = 0; i < s->ncells; i++) done += s->cell[i].done;
    return fail(DFL_E_STOPPED,
                "interrupted; %zu cells stand in %s, and the same command goes on from there", done,
                s->folder);
}

static dfl_status draw_cells(sweep_job *j) {
    sweep *s = j->s;
    dfl_status status = sweep_write_cells(s); /* an interrupted call may have left it behind */
    for (size_t i = 0; status == DFL_OK && i < s->ncells; i++) {
        if (!sweep_cell_pending(&s->cell[i])) continue;
        status = stop_requested() ? WATCH_STOPPED : sweep_draw(s, &s->cell[i]);
        if (status == DFL_OK) status = sweep_write_cells(s);
        if (status == DFL_OK) status = tell_cell(j, &s->cell[i]);
    }
    return status;
}

static dfl_status conclude(sweep_job *j) {
    sweep *s = j->s;
    sweep_row *table = NULL;
    text page = {0}, note = {0};
    const size_t replicates = sweep_replicates(s);
    progress_start(&j->bar, !arg_given(j->args, "quiet") && replicates > 0, replicates, 1);
    dfl_status status = sweep_compare(s, arg(j->args, "baseline")->text, &table);
    progress_end(&j->bar);
    TRY(status);
    status = sweep_write_comparisons(s, table);
    if (status == DFL_OK) status = sweep_plot(s, table, &note);
    if (status == DFL_OK) status = sweep_report(s, table);
    if (status == DFL_OK && note.len) tell_warnings(note.data);
    if (status == DFL_OK) status = sweep_print(s, table, &page);
    text_add(&page, "report    %s/report.html\n", s->folder);
    if (status == DFL_OK && page.failed) status = fail_memory();
    if (status == DFL_OK && !arg_given(j->args, "quiet")) status = print_page(page.data);
    text_free(&page);
    text_free(&note);
    free(table);
    return status;
}

static dfl_status sweep_all(sweep_job *j) {
    sweep *s = j->s;
    TRY(prepare(j));
    TRY(tell_start(j));
    TRY(tell_cost(j));
    if (arg_given(j->args, "dry-run")) return DFL_OK;
    TRY(sweep_folder_save(s));
    TRY(sweep_reference_load(s, arg(j->args, "ref")->text));
    const size_t work = sweep_evaluations(s);
    progress_start(&j->bar, !arg_given(j->args, "quiet") && work > 0, work, 1);
    dfl_status status = draw_cells(j);
    progress_end(&j->bar);
    TRY(status);
    return conclude(j);
}

static int run_sweep(const args *a) {
    sweep *s = mem_array(1, sizeof *s);
    sweep_job j = {.args = a, .s = s, .code = CODE_BY_STATUS};
    dfl_status status = s ? DFL_OK : fail_memory();
    stop_install();
    if (s) {
        s->watch = sweep_watch;
        s->user = &j;
        status = arg_given(a, "rerun") ? sweep_rerun(&j, arg(a, "rerun")->text) : sweep_all(&j);
        if (status == WATCH_STOPPED)
            status = s->folder ? interrupted(s) : fail(DFL_E_STOPPED, "interrupted");
        sweep_free(s);
        extractor_free(s->extractor);
        dfl_model_free(s->model);
    }
    free(s);
    free(j.model_where);
    free(j.features_where);
    text_free(&j.features_given);
    free(j.reference_where);
    text_free(&j.command);
    text_free(&j.tail);
    return status == DFL_OK ? CODE_OK : tell_failure(status, j.code);
}
