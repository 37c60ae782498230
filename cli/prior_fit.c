/* "driftless prior fit" and "driftless prior from-samples". */
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "prior.h"
#include "prior/fit.h"
#include "progress.h"
#include "stop.h"

typedef struct {
    const args *args;
    bool as_samples;
    fit_wish wish;
    gate_row gate[PRIOR_GATES_MAX];
    dataset data;
    int64_t *labels;
    prior *prior;
    fit_report report;
    progress bar;
} job;

static size_t whole(const args *a, const char *name, size_t otherwise) {
    return arg_given(a, name) ? (size_t)arg(a, name)->integer : otherwise;
}

static double number(const args *a, const char *name, double otherwise) {
    return arg_given(a, name) ? arg(a, name)->real : otherwise;
}

static kind chosen_kind(const args *a) {
    const char *const word = arg_given(a, "kind") ? arg(a, "kind")->text : "pcagmm";
    for (int i = 0; i < KINDS; i++)
        if (strcmp(word, kind_names[i]) == 0) return (kind)i;
    return KIND_PCAGMM;
}

/* An option that the kind has no use for would be ignored. */
static dfl_status check_kind(const args *a, kind k) {
    const bool low = k == KIND_PPCA || k == KIND_FA, turned = k == KIND_PCAGMM;
    const bool dp = arg_given(a, "inference") && strcmp(arg(a, "inference")->text, "dp") == 0;
    if (arg_given(a, "rank") && !low && !turned)
        return fail(DFL_E_COMBINATION, "--rank goes with kinds pcagmm, ppca and fa");
    if (k == KIND_GAUSS && whole(a, "components", 1) != 1)
        return fail(DFL_E_COMBINATION, "kind gauss has one component; full has more");
    if (dp && k != KIND_FULL && !turned)
        return fail(DFL_E_COMBINATION, "--inference dp goes with kinds full and pcagmm");
    if (!dp && arg_given(a, "concentration"))
        return fail(DFL_E_COMBINATION, "--concentration goes with --inference dp");
    if (arg_given(a, "shrink") && (low || dp || k == KIND_DIAG))
        return fail(DFL_E_COMBINATION, "--shrink goes with kinds gauss, full, tied and pcagmm, "
                                       "fitted by em");
    return DFL_OK;
}

static void set_em(const args *a, size_t d, em_settings *set) {
    const kind k = set->kind = chosen_kind(a);
    const bool low = k == KIND_PPCA || k == KIND_FA;
    set->k = whole(a, "components", k == KIND_GAUSS ? 1 : low ? 10 : 30);
    set->dp = arg_given(a, "inference") && strcmp(arg(a, "inference")->text, "dp") == 0;
    size_t rank = low ? 20 : 64;
    if (rank >= d) rank = d > 1 ? d - 1 : 1;
    set->q = whole(a, "rank", rank);
    set->reg = number(a, "reg-covar", 1e-6);
    set->floor = 1e-4;
    set->shrink = number(a, "shrink", 0);
    set->concentration = number(a, "concentration", 1. / (double)set->k);
    const size_t side = k == KIND_PCAGMM ? set->q : d;
    set->tail = side > 16 ? 0.5 : 0;
}

/* "0.2,0.4" */
static dfl_status read_gate(job *j) {
    const char *const given = arg(j->args, "gate")->text;
    const char *at = given ? given : "0.2,0.4,0.6";
    while (*at) {
        char word[32];
        double t;
        const size_t n = strcspn(at, ",");
        if (n == 0 || n >= sizeof word || j->wish.ngate == PRIOR_GATES_MAX)
            return fail(DFL_E_ARG, "--gate: \"%s\" is not a list of at most %d times like 0.2,0.4",
                        given ? given : at, PRIOR_GATES_MAX);
        memcpy(word, at, n);
        word[n] = 0;
        if (!text_to_real(word, &t)) return fail(DFL_E_ARG, "--gate: \"%s\" is no time", word);
        gate_row *const row = &j->gate[j->wish.ngate++];
        TRY(prior_time(j->args, t, &row->a, &row->b));
        at += n;
        if (*at == ',' && *++at == 0)
            return fail(DFL_E_ARG, "--gate: a time is missing at the end");
    }
    j->wish.gate = j->gate;
    return j->wish.ngate ? DFL_OK : fail(DFL_E_ARG, "--gate: at least one time is needed");
}

static int watch(void *user, size_t n) {
    job *const j = user;
    progress_add(&j->bar, n);
    return stop_requested() ? WATCH_STOPPED : 0;
}

static dfl_status make_wish(job *j) {
    const args *const a = j->args;
    fit_wish *const w = &j->wish;
    TRY(check_kind(a, chosen_kind(a)));
    w->iterations = whole(a, "iterations", 200);
    w->restarts = whole(a, "restarts", 3);
    w->tolerance = number(a, "tolerance", 0);
    w->seed = whole(a, "seed", 0);
    w->held_share = number(a, "held-out", 0.1);
    w->a = 1;
    if (arg_given(a, "at")) {
        if (arg_given(a, "gate"))
            return fail(DFL_E_COMBINATION, "--gate goes with clean data; a fit --at T is judged "
                                           "there");
        TRY(prior_time(a, arg(a, "at")->real, &w->a, &w->b));
        w->add_noise = !j->as_samples;
    } else {
        TRY(read_gate(j));
    }
    w->watch = watch;
    w->user = j;
    return DFL_OK;
}

static dfl_status open_data(job *j) {
    TRY(dataset_open(j->args->operand[1], &j->data));
    const char *const labels = arg(j->args, "labels")->text;
    if (labels) TRY(labels_read(labels, j->data.rows.n, &j->labels));
    set_em(j->args, j->data.rows.d, &j->wish.em);
    return DFL_OK;
}

static dfl_status judge(const prior *p) {
    const gate_row *row, *best;
    const size_t n = prior_gate(p, &row);
    best = row;
    for (size_t i = 0; i < n; i++) {
        if (gate_passed(&row[i])) return DFL_OK;
        if (row[i].gain - 2 * row[i].error > best->gain - 2 * best->error) best = &row[i];
    }
    return fail(DFL_E_RANGE,
                "the gate rejects this prior: nearest to passing, held-out data gain %.4g nats "
                "over N(0, I), "
                "with standard error %.4g, where more than two are needed; start from N(0, I)",
                best->gain, best->error);
}

static dfl_status tell(const job *j) {
    text out = {0};
    const fit_report *const r = &j->report;
    if (arg_given(j->args, "quiet")) return DFL_OK;
    text_add(&out, "%s, %zu component%s", prior_kind(j->prior), prior_components(j->prior),
             prior_components(j->prior) == 1 ? "" : "s");
    if (r->removed) text_add(&out, " (%zu removed, with too few rows)", r->removed);
    text_add(&out,
             ", fitted to %zu rows of %zu numbers\n"
             "iterations: %zu, %s; best start: %zu\n"
             "mean log-density: %.6f nats; of %zu rows held out: %.6f\n",
             r->rows, prior_dim(j->prior), r->iterations,
             r->converged ? "until the likelihood stood still" : "the most that are allowed",
             r->restart + 1, r->loglik, r->held_out, r->held_loglik);
    add_gate(j->prior, &out);
    return print_text(&out);
}

static dfl_status fit(job *j) {
    const char *const path = arg(j->args, "output")->text;
    const fit_wish *const w = &j->wish;
    progress_start(&j->bar, !arg_given(j->args, "quiet"),
                   mem_product(j->data.rows.n, w->restarts, w->iterations + 1), 1);
    dfl_status status = prior_fit(w, &j->data.rows, j->labels, &j->prior, &j->report);
    progress_end(&j->bar);
    if (status == WATCH_STOPPED) return fail(DFL_E_STOPPED, "interrupted; nothing was written");
    TRY(status);
    prior_set_shape(j->prior, j->data.rank, j->data.shape);
    TRY(tell(j));
    TRY(judge(j->prior));
    return prior_write(j->prior, path);
}

int run_prior_fit(const args *a, bool as_samples) {
    job j = {.args = a, .as_samples = as_samples};
    const char *const path = arg(a, "output")->text;
    int code = CODE_BY_STATUS;
    dfl_status status = DFL_OK;
    if (!path)
        status = fail(DFL_E_ARG, "prior %s needs an output: -o FILE.npz", a->operand[0]);
    else
        status = output_check_named(path, ".npz");
    if (status == DFL_OK) status = make_wish(&j);
    if (status == DFL_OK) status = open_data(&j);
    if (status == DFL_OK) {
        status = fit(&j);
        if (j.prior && status == DFL_E_RANGE) code = CODE_FAILURE; /* the gate's word */
    }
    prior_free(j.prior);
    free(j.labels);
    dataset_close(&j.data);
    return status == DFL_OK ? CODE_OK : tell_failure(status, code);
}
