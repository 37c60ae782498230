/* "driftless prior": auxiliary densities to start from at a time below T = 1. Fitting is in
   prior_fit.c. */
#include "prior.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io.h"
#include "output.h"
#include "prior/fit.h"
#include "process/process.h"
#include "stop.h"

static int run_prior(const args *a);

/* clang-format off */
static const arg_row prior_rows[] = {
    {'o', "output", NULL, "FILE", NULL, "fit: the prior (.npz); sample, logp: results (.npy)", ARG_OUTPUT, 0, 0},
    {0, "kind", NULL, "gauss|diag|full|tied|pcagmm|ppca|fa", "pcagmm", "structure of the covariances", ARG_CHOICE, 0, 0},
    {'k', "components", NULL, "N", "30; gauss 1; ppca, fa 10", "components, of each class where there are classes", ARG_INT, 1, 4096},
    {0, "rank", NULL, "Q", "64 (pcagmm), 20 (ppca, fa)", "principal coordinates, or factors", ARG_INT, 1, 4095},
    {0, "inference", NULL, "em|dp", "em", "dp: truncated Dirichlet process, variational (full and pcagmm)", ARG_CHOICE, 0, 0},
    {0, "concentration", NULL, "G", "1/N", "dp: concentration of the weights", ARG_REAL, 1e-9, 1e9},
    {0, "restarts", NULL, "N", "3", "starts, of which the best by held-out data stays", ARG_INT, 1, 1000},
    {0, "iterations", NULL, "N", "200", "at most so many", ARG_INT, 1, 100000},
    {0, "tolerance", NULL, "NATS", "1e-6 up to 16 dimensions, and for dp; else 1e-4", "stop when the mean log-likelihood changes by less", ARG_REAL, 1e-15, 1},
    {0, "reg-covar", NULL, "R", "1e-6", "added to variances, as a share of the data's mean variance", ARG_REAL, 0, 1},
    {0, "shrink", NULL, "S", "0", "share of each covariance made equal in all directions", ARG_REAL, 0, 1},
    {0, "held-out", NULL, "SHARE", "0.1", "share of the data that is not fitted to, for the gate", ARG_REAL, 1e-6, 0.9},
    {0, "labels", NULL, "FILE", NULL, "class of each sample (.npy): a density for each class", ARG_FILE, 0, 0},
    {0, "at", NULL, "T", NULL, "fit: to data that are noised up to T; from-samples: the samples are states at T", ARG_REAL, 0, 1},
    {0, "gate", NULL, "T[,T...]", "0.2,0.4,0.6", "times at which held-out data are noised and the gate is asked", ARG_TEXT, 0, 0},
    {0, "process", NULL, "TEXT", "vp_linear", "forward process and its options", ARG_TEXT, 0, 0},
    {0, "t-start", NULL, "T", "the prior's own state", "sample, logp, info: the prior brought to T", ARG_REAL, 0, 1},
    {0, "noised", NULL, NULL, NULL, "logp: the data are clean and are noised first, up to --t-start or the prior's own state", ARG_FLAG, 0, 0},
    {0, "label", "class", "C", "all", "sample, logp: one class", ARG_INT, 0, 65535},
    {'n', "samples", NULL, "N", "64", "sample: how many", ARG_INT, 1, 1 << 24},
    {0, "first", NULL, "INDEX", "0", "sample: index of the first one", ARG_INT, 0, 4e18},
    {'s', "seed", NULL, "S", "0", "seed of all random numbers", ARG_INT, 0, 9e18},
    {'q', "quiet", NULL, NULL, NULL, "no progress and no summary", ARG_FLAG, 0, 0},
    ROWS_END};
/* clang-format on */

const command command_prior = {
    "prior",
    "fit DATA | from-samples FILE | sample PRIOR | logp PRIOR DATA | info PRIOR [options]",
    "Fits a mixture of Gaussians to data, as a density to start from at a time T below 1. Fitted "
    "on "
    "clean data it serves every T. DATA: .npy of numbers or bytes, or idx pictures (MNIST's), "
    "gzipped or not. A fit that held-out data do not like better than N(0, I) is refused. PRIOR: "
    "its file, or the folder of a normalising flow.",
    "example:\n  driftless prior fit train-images-idx3-ubyte.gz --kind pcagmm -o prior.npz\n"
    "  driftless prior sample prior.npz --t-start 0.3 -n 16 -o start.npy\n",
    2,
    3,
    prior_rows,
    run_prior};

/* ---- what is shared -------------------------------------------------------------------------- */

dfl_status prior_time(const args *a, double t, double *pa, double *pb) {
    const char *const spec = arg(a, "process")->text;
    process *p = NULL;
    TRY(process_new(spec ? spec : "vp_linear", &p));
    dfl_status status = DFL_OK;
    if (p->row->components != 1)
        status = fail(DFL_E_COMBINATION, "--process: priors are for processes without momenta");
    if (status == DFL_OK && !(t > 0))
        status = fail(DFL_E_RANGE, "a time of %g: priors are asked for times above 0", t);
    if (status == DFL_OK) status = process_check_time(p, "the time of a prior", t);
    if (status == DFL_OK) {
        const scalar_at at = process_at(p, t);
        *pa = at.a;
        *pb = at.b;
    }
    process_free(p);
    return status;
}

void add_gate(const prior *p, text *out) {
    const gate_row *row;
    const size_t n = prior_gate(p, &row);
    if (n == 0) {
        text_add(out, "gate: not asked\n");
        return;
    }
    text_add(out, "gate, held-out data: nats gained over N(0, I)\n"
                  "          a          b       gain  std. error\n");
    for (size_t i = 0; i < n; i++, row++)
        text_add(out, "  %9.6f  %9.6f  %9.3f  %10.3f  %s\n", row->a, row->b, row->gain, row->error,
                 gate_passed(row) ? "passed" : "failed: N(0, I) is better here");
}

/* The prior of the second operand, at --t-start and of --label. */
static dfl_status open_prior(const args *a, bool one_class, prior **out) {
    prior *whole = NULL, *there = NULL;
    *out = NULL;
    dfl_status status = prior_read(a->operand[1], &whole);
    if (status == DFL_OK && arg_given(a, "t-start")) {
        double pa, pb;
        status = prior_time(a, arg(a, "t-start")->real, &pa, &pb);
        if (status == DFL_OK) status = prior_at(whole, pa, pb, &there);
        prior_free(whole);
        whole = there;
    }
    if (status == DFL_OK && one_class && arg_given(a, "label") && prior_classes(whole) == 0)
        status = fail(DFL_E_COMBINATION, "--label: this prior has no classes");
    if (status == DFL_OK && one_class && arg_given(a, "label")) {
        status = prior_only(whole, arg(a, "label")->integer, out);
        prior_free(whole);
    } else if (status == DFL_OK) {
        *out = whole;
    } else {
        prior_free(whole);
    }
    return status;
}

/* ---- sample ---------------------------------------------------------------------------------- */

static dfl_status write_samples(const args *a, const prior *p, size_t n, npy_writer *w) {
    const size_t d = prior_dim(p);
    const uint64_t seed = arg_given(a, "seed") ? (uint64_t)arg(a, "seed")->integer : 0;
    const uint64_t first = arg_given(a, "first") ? (uint64_t)arg(a, "first")->integer : 0;
    double *const x = mem_array(d, sizeof *x);
    float *const narrow = mem_array(d, sizeof *narrow);
    dfl_status status = x && narrow ? DFL_OK : fail_memory();
    for (size_t i = 0; i < n && status == DFL_OK; i++) {
        status = prior_draw(p, seed, first + i, x);
        for (size_t j = 0; j < d; j++) narrow[j] = (float)x[j];
        if (status == DFL_OK) status = npy_append(w, narrow, 1);
        if (status == DFL_OK && stop_requested())
            status = fail(DFL_E_STOPPED, "interrupted; nothing was written");
    }
    free(x);
    free(narrow);
    return status;
}

static dfl_status sample(const args *a) {
    const char *const path = arg(a, "output")->text;
    const size_t n = arg_given(a, "samples") ? (size_t)arg(a, "samples")->integer : 64;
    size_t shape[ARRAY_RANK_MAX];
    const size_t *own;
    prior *p = NULL;
    npy_writer *w = NULL;
    if (!path) return fail(DFL_E_ARG, "prior sample needs an output: -o FILE.npy");
    TRY(output_check_named(path, ".npy"));
    TRY(open_prior(a, true, &p));
    int rank = prior_shape(p, &own);
    shape[0] = n;
    if (rank == 0 || rank + 1 > ARRAY_RANK_MAX) {
        shape[1] = prior_dim(p);
        rank = 1;
    } else {
        memcpy(shape + 1, own, (size_t)rank * sizeof *own);
    }
    dfl_status status = npy_create(path, ARRAY_F32, rank + 1, shape, &w);
    if (status == DFL_OK) status = write_samples(a, p, n, w);
    if (status == DFL_OK)
        status = npy_commit(w);
    else
        npy_discard(w);
    prior_free(p);
    return status;
}

/* ---- logp ------------------------------------------------------------------------------------ */

typedef struct {
    double mean, m2, gain, gain_m2, n;
} averages;

static void average(averages *s, size_t d, const double *x, double logp) {
    double standard = (double)d * 1.8378770664093454836;
    for (size_t j = 0; j < d; j++) standard += x[j] * x[j];
    const double gain = logp + standard / 2;
    const double off = logp - s->mean, gain_off = gain - s->gain;
    s->n++;
    s->mean += off / s->n;
    s->m2 += off * (logp - s->mean);
    s->gain += gain_off / s->n;
    s->gain_m2 += gain_off * (gain - s->gain);
}

static dfl_status evaluate(const prior *p, const rows *data, double *logp, averages *s) {
    enum { BLOCK = 64 };
    double *const x = mem_array(mem_product(BLOCK, data->d, 1), sizeof *x);
    dfl_status status = x ? DFL_OK : fail_memory();
    for (size_t at = 0; at < data->n && status == DFL_OK; at += BLOCK) {
        const size_t n = data->n - at < BLOCK ? data->n - at : BLOCK;
        status = rows_get(data, at, n, x);
        if (status == DFL_OK) status = prior_logp(p, x, n, logp + at);
        for (size_t i = 0; i < n && status == DFL_OK; i++)
            average(s, data->d, x + i * data->d, logp[at + i]);
        if (status == DFL_OK && stop_requested())
            status = fail(DFL_E_STOPPED, "interrupted; nothing was written");
    }
    free(x);
    return status;
}

/* Of a mean; one sample tells nothing of it. */
static void add_error(text *out, double squares, double n) {
    if (n > 1) text_add(out, ", std. error %.6f", sqrt(squares / (n - 1) / n));
}

static dfl_status tell_logp(const averages *s, size_t d) {
    text out = {0};
    const double bits = (double)d * 0.69314718055994530942;
    text_add(&out, "mean log-density %.6f nats", s->mean);
    add_error(&out, s->m2, s->n);
    text_add(&out, ", of %.0f sample%s\ngain over N(0, I) %.6f nats", s->n, s->n > 1 ? "s" : "",
             s->gain);
    add_error(&out, s->gain_m2, s->n);
    text_add(&out, ": %.5f bits/dim\n", s->gain / bits);
    return print_text(&out);
}

static dfl_status check_data(const args *a, const prior *p, const dataset *data) {
    double pa, pb;
    prior_state(p, &pa, &pb);
    if (arg_given(a, "noised") && pb == 0)
        return fail(DFL_E_ARG, "--noised needs the time: --t-start T");
    if (data->rows.d == prior_dim(p)) return DFL_OK;
    return fail(DFL_E_COMBINATION, "%s has samples of %zu numbers; the prior is one of %zu",
                a->operand[2], data->rows.d, prior_dim(p));
}

static dfl_status logp_of(const args *a, const prior *p, const dataset *data) {
    const char *const path = arg(a, "output")->text;
    averages s = {0};
    double pa, pb;
    TRY(check_data(a, p, data));
    prior_state(p, &pa, &pb);
    const uint64_t seed = arg_given(a, "seed") ? (uint64_t)arg(a, "seed")->integer : 0;
    const rows noised = rows_noised(&data->rows, pa, pb, seed);
    const size_t n = data->rows.n;
    double *const logp = mem_array(n, sizeof *logp);
    if (!logp) return fail_memory();
    npy_writer *w = NULL;
    dfl_status status = evaluate(p, arg_given(a, "noised") ? &noised : &data->rows, logp, &s);
    if (status == DFL_OK && path) {
        status = npy_create(path, ARRAY_F64, 1, &n, &w);
        if (status == DFL_OK && (status = npy_append(w, logp, n)) != DFL_OK)
            npy_discard(w);
        else if (status == DFL_OK)
            status = npy_commit(w);
    }
    free(logp);
    return status == DFL_OK && !arg_given(a, "quiet") ? tell_logp(&s, data->rows.d) : status;
}

static dfl_status logp(const args *a) {
    const char *const path = arg(a, "output")->text;
    prior *p = NULL;
    dataset data = {0};
    if (a->noperands != 3)
        return fail(DFL_E_ARG, "usage: driftless prior logp PRIOR DATA [--t-start T] [--noised]");
    if (path) TRY(output_check_named(path, ".npy"));
    TRY(open_prior(a, true, &p));
    dfl_status status = dataset_open(a->operand[2], &data);
    if (status == DFL_OK) status = logp_of(a, p, &data);
    dataset_close(&data);
    prior_free(p);
    return status;
}

/* ---- info ------------------------------------------------------------------------------------ */

static dfl_status info(const args *a) {
    prior *p = NULL;
    text out = {0};
    const size_t *shape;
    double pa, pb;
    TRY(open_prior(a, false, &p));
    prior_state(p, &pa, &pb);
    text_add(&out, "%s: %s", a->operand[1], prior_kind(p));
    if (prior_components(p))
        text_add(&out, ", %zu component%s", prior_components(p),
                 prior_components(p) == 1 ? "" : "s");
    text_add(&out, " in %zu dimension%s", prior_dim(p), prior_dim(p) == 1 ? "" : "s");
    const int rank = prior_shape(p, &shape);
    for (int i = 0; i < rank; i++) text_add(&out, "%s%zu", i ? " x " : " (", shape[i]);
    text_add(&out, "%s\n", rank ? ")" : "");
    if (prior_rank(p)) text_add(&out, "rank: %zu\n", prior_rank(p));
    if (prior_classes(p))
        text_add(&out, "classes: %lld, labels 0 to %lld\n", (long long)prior_classes(p),
                 (long long)prior_classes(p) - 1);
    text_add(&out, pb > 0 ? "state: %.9g x_0 + %.9g n\n" : "state: clean data\n", pa, pb);
    double own;
    dfl_status status = prior_own_time(a->operand[1], &own);
    if (status == DFL_OK && isfinite(own)) text_add(&out, "time: t = %.9g, and no other\n", own);
    add_gate(p, &out);
    if (status == DFL_OK) status = out.failed ? fail_memory() : print_page(out.data);
    text_free(&out);
    prior_free(p);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    const char *options; /* that have a meaning, as "|a|b|" */
    int operands;        /* at most, with the name */
    dfl_status (*run)(const args *a);
} sub;

#define FITTING                                                                                    \
    "|output|kind|components|rank|inference|concentration|restarts|iterations|tolerance|reg-covar" \
    "|shrink|held-out|labels|at|process|seed|quiet|"

static const sub subs[] = {
    {"fit", FITTING "gate|", 2, NULL},
    {"from-samples", FITTING "gate|", 2, NULL},
    {"sample", "|output|process|t-start|label|samples|first|seed|quiet|", 2, sample},
    {"logp", "|output|process|t-start|noised|label|seed|quiet|", 3, logp},
    {"info", "|process|t-start|quiet|", 2, info},
};
enum { SUBS = sizeof subs / sizeof *subs };

static dfl_status find_sub(const args *a, const sub **out) {
    const char *names[SUBS];
    for (size_t i = 0; i < SUBS; i++) {
        names[i] = subs[i].name;
        *out = &subs[i];
        if (strcmp(a->operand[0], names[i]) == 0) return DFL_OK;
    }
    const char *const close = text_closest(a->operand[0], names, SUBS);
    if (close)
        return fail(DFL_E_ARG, "prior has no \"%s\"; did you mean \"%s\"?", a->operand[0], close);
    return fail(DFL_E_ARG, "prior has no \"%s\": fit, from-samples, sample, logp or info",
                a->operand[0]);
}

/* Options that belong to another of them would be ignored. */
static dfl_status check_options(const args *a, const sub *s) {
    char word[40];
    if (a->noperands > s->operands)
        return fail(DFL_E_ARG, "prior %s has no place for \"%s\"", s->name,
                    a->operand[s->operands]);
    for (const arg_row *row = a->command->rows; row->name; row++) {
        snprintf(word, sizeof word, "|%s|", row->name);
        if (arg_given(a, row->name) && !strstr(s->options, word))
            return fail(DFL_E_ARG, "prior %s: --%s has no meaning here", s->name, row->name);
    }
    if (arg_given(a, "process") && strstr(s->options, "|t-start|") && !arg_given(a, "t-start"))
        return fail(DFL_E_ARG, "prior %s: --process goes with --t-start", s->name);
    return DFL_OK;
}

static int run_prior(const args *a) {
    const sub *s;
    stop_install();
    dfl_status status = find_sub(a, &s);
    if (status == DFL_OK) status = check_options(a, s);
    if (status == DFL_OK && !s->run) return run_prior_fit(a, s != &subs[0]);
    if (status == DFL_OK) status = s->run(a);
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_BY_STATUS);
}
