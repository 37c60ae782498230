/* Rivals' programs on the identical network and starts:
 *
 *   PROGRAM [ARGS] --model FOLDER --start start.npy --labels labels.npy --nfe N --t-end T -o out.npy
 *
 * start: float32 [n][C][H][W], the states that our own plans begin with; labels: int64 [n], -1 where
 * the model has no classes; out: float32 samples of the same shape in the range of the card. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/spawn.h"
#include "eval/sweep.h"
#include "io/io.h"
#include "plan/plan.h"

enum { BATCH = 64, STARTED = 1002, WORDS = 13, SAID = 320 };

typedef struct {
    sweep *s;
    size_t dim;
    float *at; /* where the states of this batch go */
    text file[3];
} errand;

enum { FILE_START, FILE_LABELS, FILE_OUT };

/* The start states are taken from a run that is ended before its first evaluation. */
static int take_start(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                      const void *state) {
    const errand *e = user;
    (void)step, (void)steps, (void)t, (void)first;
    memcpy(e->at, state, count * e->dim * sizeof *e->at);
    return STARTED;
}

static dfl_status make_starts(errand *e, const dfl_plan *plan, uint64_t seed, float *states) {
    text options = {0};
    dfl_run *run = NULL;
    float *unused = mem_array(mem_product(BATCH, e->dim, 1), sizeof *unused);
    text_add(&options, "seed=%llu,batch=%d", (unsigned long long)seed, BATCH);
    dfl_status status = options.failed || !unused ? fail_memory() : DFL_OK;
    if (status == DFL_OK) status = dfl_run_new(plan, e->s->model, options.data, &run);
    if (status == DFL_OK) dfl_run_observe(run, take_start, e);
    for (size_t from = 0; status == DFL_OK && from < e->s->frame.samples; from += BATCH) {
        const size_t left = e->s->frame.samples - from, n = left < BATCH ? left : BATCH;
        e->at = states + from * e->dim;
        status = dfl_run_sample(run, from, n, NULL, NULL, unused);
        if (status == STARTED)
            status = DFL_OK;
        else if (status == DFL_OK)
            status = fail(DFL_E_INTERNAL, "a run did not show its start");
    }
    dfl_run_free(run);
    text_free(&options);
    free(unused);
    return status;
}

static dfl_status save(const char *path, const array *a) {
    npy_writer *npy = NULL;
    TRY(npy_create(path, a->type, a->rank, a->shape, &npy));
    const dfl_status status = npy_append(npy, a->data, a->shape[0]);
    if (status == DFL_OK) return npy_commit(npy);
    npy_discard(npy);
    return status;
}

static dfl_status save_labels(const errand *e) {
    const sweep_frame *f = &e->s->frame;
    const int64_t classes = e->s->model->card.classes;
    array a = {ARRAY_I64, 1, {f->samples}, mem_array(f->samples, sizeof(int64_t))};
    int64_t *label = a.data;
    if (!label) return fail_memory();
    for (size_t i = 0; i < f->samples; i++)
        label[i] = f->labelled ? f->label : classes > 0 ? (int64_t)i % classes : -1;
    const dfl_status status = save(e->file[FILE_LABELS].data, &a);
    free(label);
    return status;
}

static void sample_shape(const errand *e, array *a) {
    const card *c = &e->s->model->card;
    *a = (array){.type = ARRAY_F32, .rank = 1 + c->rank, .shape = {e->s->frame.samples}};
    for (int i = 0; i < c->rank; i++) a->shape[1 + i] = c->shape[i];
}

/* Where the plans of this sweep begin and end. */
static dfl_status plain_plan(const sweep *s, dfl_plan **out, double *t_end) {
    text spec = {0};
    text_add(&spec, "solver=deis:order=0 steps=1%s", s->frame.tail);
    const dfl_status status = spec.failed ? fail_memory() : dfl_plan_new(s->model, spec.data, out);
    text_free(&spec);
    TRY(status);
    for (size_t i = 0; i < (*out)->code.nrows; i++)
        if ((*out)->code.rows[i].op == ROW_STEP) *t_end = (*out)->code.rows[i].t;
    if ((*out)->code.components == 1) return DFL_OK;
    return fail(DFL_E_COMBINATION, "peers are not called in phase space");
}

/* A stranger's numbers. */
static dfl_status read_samples(const errand *e, const char *name, float *samples) {
    array wanted, a = {0};
    sample_shape(e, &wanted);
    const size_t count = array_count(&wanted);
    TRY(npy_read(e->file[FILE_OUT].data, mem_product(count, sizeof *samples, 1), &a));
    bool same = a.type == ARRAY_F32 && a.rank == wanted.rank;
    for (int i = 0; same && i < a.rank; i++) same = a.shape[i] == wanted.shape[i];
    dfl_status status = DFL_OK;
    if (!same)
        status = fail(DFL_E_FORMAT, "peer %s: its output is not float32 [%zu][sample shape]", name,
                      e->s->frame.samples);
    if (same) memcpy(samples, a.data, count * sizeof *samples);
    for (size_t i = 0; same && i < count && status == DFL_OK; i++)
        if (!isfinite(samples[i]))
            status = fail(DFL_E_NONFINITE, "peer %s: sample %zu is not finite", name, i / e->dim);
    array_free(&a);
    return status;
}

static int watch(void *user) {
    const sweep *s = user;
    return s->watch ? s->watch(s->user, 0) : 0;
}

static dfl_status call(const errand *e, const sweep_way *way, const char *numbers[2],
                       double *seconds) {
    char said[SAID];
    size_t n = 0;
    int code = 0;
    while (way->argv[n]) n++;
    const char **argv = mem_array(n + WORDS, sizeof *argv);
    if (!argv) return fail_memory();
    const char *const more[WORDS - 1] = {"--model",  e->s->model_where,
                                         "--start",  e->file[FILE_START].data,
                                         "--labels", e->file[FILE_LABELS].data,
                                         "--nfe",    numbers[0],
                                         "--t-end",  numbers[1],
                                         "-o",       e->file[FILE_OUT].data};
    for (size_t i = 0; i < n; i++) argv[i] = way->argv[i];
    memcpy(argv + n, more, sizeof more);
    const spawn_wish wish = {argv, watch, e->s, said, sizeof said};
    const double began = seconds_now();
    dfl_status status = spawn_wait(&wish, &code);
    *seconds = seconds_now() - began;
    free(argv);
    if (status == DFL_E_IO)
        return fail(DFL_E_FORMAT, "peer %s: %s cannot be started", way->label, way->argv[0]);
    TRY(status);
    if (code == 0) return DFL_OK;
    text_tame(said);
    return fail(DFL_E_FORMAT, "peer %s ended with %d: %s", way->label, code,
                *said ? said : "it said nothing");
}

static dfl_status run_errand(errand *e, const sweep_cell *c, float *samples, double *seconds) {
    const sweep_point *p = &e->s->point[c->point];
    const sweep_way *way = &e->s->way[p->way];
    dfl_plan *plan = NULL;
    double t_end = 0;
    array starts;
    text nfe = {0}, end = {0};
    dfl_status status = DFL_OK;
    sample_shape(e, &starts);
    TRY_GOTO(plain_plan(e->s, &plan, &t_end), done);
    TRY_GOTO(make_starts(e, plan, c->seed, samples), done);
    starts.data = samples;
    TRY_GOTO(save(e->file[FILE_START].data, &starts), done);
    TRY_GOTO(save_labels(e), done);
    text_add(&nfe, "%d", p->nfe);
    text_real(&end, t_end);
    TRY_GOTO(nfe.failed || end.failed ? fail_memory() : DFL_OK, done);
    const char *numbers[2] = {nfe.data, end.data};
    TRY_GOTO(call(e, way, numbers, seconds), done);
    if (access(e->file[FILE_OUT].data, F_OK) != 0)
        status = fail(DFL_E_FORMAT, "peer %s left no output", way->label);
    else
        status = read_samples(e, way->label, samples);
done:
    dfl_plan_free(plan);
    text_free(&nfe);
    text_free(&end);
    return status;
}

/* In a folder of their own, which nobody else can have prepared. */
static dfl_status name_files(errand *e, char *folder) {
    static const char *const names[3] = {"start", "labels", "out"};
    if (!mkdtemp(folder)) return fail(DFL_E_IO, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < 3; i++) {
        text_add(&e->file[i], "%s/%s.npy", folder, names[i]);
        if (e->file[i].failed) return fail_memory();
    }
    return DFL_OK;
}

dfl_status sweep_peer_draw(sweep *s, const sweep_cell *c, float *samples, double *seconds) {
    errand e = {.s = s, .dim = card_dim(&s->model->card)};
    text folder = {0};
    text_add(&folder, "%s/peer-XXXXXX", s->folder ? s->folder : "/tmp");
    dfl_status status = folder.failed ? fail_memory() : name_files(&e, folder.data);
    if (status == DFL_OK) status = run_errand(&e, c, samples, seconds);
    for (int i = 0; i < 3; i++) {
        if (e.file[i].data) (void)unlink(e.file[i].data);
        text_free(&e.file[i]);
    }
    if (!folder.failed) (void)rmdir(folder.data);
    text_free(&folder);
    return status;
}
