/* A cell is drawn: samples, the pictures they would be saved as, their features, and the distance. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "eval/metrics.h"
#include "eval/sweep.h"
#include "io/io.h"
#include "plan/plan.h"
#include "run/run.h"

enum {
    PIECE = 256,
    BATCH = 64,
    PROBE_SAMPLES = 64,
    PROBE_TRIES = 8,
    KID_LEAST = 10,
    KID_PIECES = 10
};
static const double probe_seconds = 0.3;

/* Memory of a cell in the making. */
typedef struct {
    sweep *s;
    sweep_cell *c;
    float *samples, *features; /* [samples or PIECE][dim], [samples][d] */
    uint8_t *pixels, *shown;   /* [PIECE][dim], [SWEEP_SHOWN][dim] */
    int64_t *labels;           /* [PIECE] or NULL */
    size_t dim, d;
} drawing;

dfl_status sweep_path(const sweep *s, const char *kind, const char *name, const char *ending,
                      text *out) {
    text_add(out, "%s/%s%s%s%s", s->folder, kind, *kind ? "/" : "", name, ending);
    return out->failed ? fail_memory() : DFL_OK;
}

static void drawing_free(drawing *w) {
    free(w->samples);
    free(w->features);
    free(w->pixels);
    free(w->shown);
    free(w->labels);
}

static dfl_status drawing_new(sweep *s, sweep_cell *c, size_t held, drawing *w) {
    *w = (drawing){s,
                   c,
                   NULL,
                   NULL,
                   NULL,
                   NULL,
                   NULL,
                   card_dim(&s->model->card),
                   extractor_width(s->extractor)};
    w->samples = mem_array(mem_product(held, w->dim, 1), sizeof *w->samples);
    w->features = mem_array(mem_product(s->frame.samples, w->d, 1), sizeof *w->features);
    w->pixels = mem_array(PIECE, w->dim);
    w->shown = mem_array(SWEEP_SHOWN, w->dim);
    if (s->frame.labelled) {
        w->labels = mem_array(PIECE, sizeof *w->labels);
        for (size_t i = 0; w->labels && i < PIECE; i++) w->labels[i] = s->frame.label;
    }
    const bool whole = w->samples && w->features && w->pixels && w->shown;
    return whole && (w->labels || !s->frame.labelled) ? DFL_OK : fail_memory();
}

/* n samples from number `from` on become pictures, and those features. */
static dfl_status see(drawing *w, size_t from, size_t n, const float *samples) {
    const card *c = &w->s->model->card;
    image_bytes(ARRAY_F32, samples, n, c->shape[0], c->shape[1], c->shape[2], c->range[0],
                c->range[1], w->pixels);
    for (size_t i = 0; i < n && from + i < SWEEP_SHOWN; i++)
        memcpy(w->shown + (from + i) * w->dim, w->pixels + i * w->dim, w->dim);
    const picture_set set = {from, n, c->shape[1], c->shape[2], c->shape[0], w->pixels};
    return extractor_run(w->s->extractor, &set, w->features + from * w->d, NULL);
}

/* ---- drawing --------------------------------------------------------------------------------- */

static int observe(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                   const void *state) {
    const drawing *w = user;
    const dfl_plan *plan = w->s->point[w->c->point].plan;
    (void)t, (void)first, (void)state;
    if (!w->s->watch) return 0;
    const size_t calls = dfl_plan_nfe(plan) * count * (size_t)dfl_model_calls(w->s->model);
    return w->s->watch(w->s->user, step_share(calls, step, steps));
}

static dfl_status new_run(drawing *w, const dfl_plan *plan, uint64_t seed, dfl_run **out) {
    text options = {0};
    text_add(&options, "seed=%llu,batch=%d", (unsigned long long)seed, BATCH);
    const dfl_status status =
        options.failed ? fail_memory() : dfl_run_new(plan, w->s->model, options.data, out);
    text_free(&options);
    return status;
}

static dfl_status draw_own(drawing *w, dfl_run *run) {
    sweep_result *r = &w->c->result;
    const size_t count = w->s->frame.samples;
    dfl_run_observe(run, observe, w);
    r->seconds = 0;
    for (size_t from = 0, n; from < count; from += n) {
        n = count - from < PIECE ? count - from : PIECE;
        const double began = seconds_now();
        TRY(dfl_run_sample(run, from, n, w->labels, NULL, w->samples));
        r->seconds += seconds_now() - began;
        for (size_t i = 0; i < n * w->dim; i++)
            if (!isfinite(w->samples[i]))
                return fail(DFL_E_NONFINITE, "sample %zu is not finite", from + i / w->dim);
        TRY(see(w, from, n, w->samples));
    }
    r->model_seconds = dfl_run_model_seconds(run);
    return DFL_OK;
}

static dfl_status draw_peer(drawing *w) {
    const size_t count = w->s->frame.samples;
    w->c->result.model_seconds = NAN;
    TRY(sweep_peer_draw(w->s, w->c, w->samples, &w->c->result.seconds));
    for (size_t from = 0, n; from < count; from += n) {
        n = count - from < PIECE ? count - from : PIECE;
        TRY(see(w, from, n, w->samples + from * w->dim));
    }
    if (!w->s->watch) return DFL_OK;
    return w->s->watch(w->s->user, count * w->c->result.spent);
}

/* ---- keeping --------------------------------------------------------------------------------- */

static dfl_status keep_features(const drawing *w, text *path) {
    const size_t shape[2] = {w->s->frame.samples, w->d};
    npy_writer *npy = NULL;
    TRY(npy_create(path->data, ARRAY_F32, 2, shape, &npy));
    const dfl_status status = npy_append(npy, w->features, shape[0]);
    if (status == DFL_OK) return npy_commit(npy);
    npy_discard(npy);
    return status;
}

static dfl_status keep_pictures(const drawing *w, const char *path) {
    const card *c = &w->s->model->card;
    const size_t shown = w->s->frame.samples < SWEEP_SHOWN ? w->s->frame.samples : SWEEP_SHOWN;
    const int channels = (int)c->shape[0];
    size_t height = 0, width = 0;
    uint8_t *grid = NULL;
    TRY(image_grid(w->shown, shown, c->shape[1], c->shape[2], channels, shown < 6 ? shown : 6,
                   &grid, &height, &width));
    const dfl_status status = png_write(path, height, width, channels, grid, NULL, NULL, 0);
    free(grid);
    return status;
}

static dfl_status keep(const drawing *w) {
    text numbers = {0}, pictures = {0};
    dfl_status status = sweep_path(w->s, "features", w->c->name, ".npy", &numbers);
    if (status == DFL_OK) status = keep_features(w, &numbers);
    if (status == DFL_OK) status = sweep_path(w->s, "samples", w->c->name, ".png", &pictures);
    if (status == DFL_OK) status = keep_pictures(w, pictures.data);
    text_free(&numbers);
    text_free(&pictures);
    return status;
}

static int watch_kid(void *user, size_t done, size_t total) {
    const sweep *s = user;
    (void)done, (void)total;
    return s->watch ? s->watch(s->user, 0) : 0;
}

/* Kernel distances need features of the reference, and a few pictures on each side. */
static dfl_status measure_kid(const drawing *w, const features *made) {
    const features real = {w->s->frame.reference_count, w->d, w->s->reference};
    const kid_options options = {.subsets = KID_PIECES};
    kid_result found;
    if (!real.x || made->n < KID_LEAST || real.n < KID_LEAST) return DFL_OK;
    const metric_watch watch = {watch_kid, w->s};
    TRY(kid(made, &real, &options, &watch, &found));
    w->c->result.kid = found.mean;
    w->c->result.kid_error = found.error;
    return DFL_OK;
}

/* The same digest whether or not there is a folder. */
static dfl_status measure(drawing *w) {
    const features made = {w->s->frame.samples, w->d, w->features};
    digest_bytes(w->features, made.n * w->d * sizeof *w->features, w->c->result.features);
    TRY(distance_to(&w->s->real, &made, NULL, &w->c->result.fid));
    return measure_kid(w, &made);
}

static void set_note(sweep_result *r, const char *note) {
    const size_t n = strlen(note);
    const size_t kept = n < SWEEP_NOTE ? n : SWEEP_NOTE - 1;
    memcpy(r->note, note, kept);
    r->note[kept] = 0;
    text_tame(r->note);
    for (char *p = r->note; *p; p++)
        if (*p == '\n') *p = ' ';
}

/* What a solver or a peer does wrong stays in its cell; the rest would hit every cell. */
static bool is_its_own(const sweep_way *way, dfl_status status) {
    return status == DFL_E_NONFINITE || status == DFL_E_RANGE || status == DFL_E_COMBINATION ||
           (way->argv && (status == DFL_E_FORMAT || status == DFL_E_ARG));
}

static dfl_status draw_into(drawing *w, const sweep_point *p) {
    sweep_result *r = &w->c->result;
    if (w->s->way[p->way].argv) {
        r->spent = r->calls = (size_t)p->nfe;
        return draw_peer(w);
    }
    dfl_run *run = NULL;
    r->spent = dfl_plan_nfe(p->plan);
    r->calls = r->spent * (size_t)dfl_model_calls(w->s->model);
    dfl_status status = new_run(w, p->plan, w->c->seed, &run);
    if (status == DFL_OK) status = draw_own(w, run);
    dfl_run_free(run);
    return status;
}

dfl_status sweep_draw(sweep *s, sweep_cell *c) {
    const sweep_point *p = &s->point[c->point];
    const sweep_way *way = &s->way[p->way];
    drawing w = {0};
    c->result = (sweep_result){
        .fid = NAN, .kid = NAN, .kid_error = NAN, .seconds = NAN, .model_seconds = NAN};
    dfl_status status = DFL_OK;
    if (*p->note) {
        set_note(&c->result, p->note);
    } else {
        status = drawing_new(s, c, way->argv ? s->frame.samples : PIECE, &w);
        if (status == DFL_OK) status = draw_into(&w, p);
        if (status == DFL_OK) status = measure(&w);
        if (is_its_own(way, status)) {
            set_note(&c->result, dfl_last_message());
            c->result.fid = c->result.seconds = c->result.model_seconds = NAN;
            c->result.features[0] = 0;
            status = DFL_OK;
        }
    }
    if (status == DFL_OK && s->folder && !*c->result.note) status = keep(&w);
    if (status == DFL_OK && s->folder) status = capsule_write(s, c);
    c->done = status == DFL_OK;
    drawing_free(&w);
    return status;
}

/* ---- the probe ------------------------------------------------------------------------------- */

static dfl_status probe_model(drawing *w, const dfl_plan *plan, double *rate) {
    dfl_run *run = NULL;
    double began = 0;
    size_t samples = 0;
    dfl_status status = new_run(w, plan, 0, &run);
    /* The first call pays for what is set up once; it is not counted. */
    for (int i = 0; status == DFL_OK && i <= PROBE_TRIES; i++) {
        status = dfl_run_sample(run, 0, i ? PROBE_SAMPLES / 2 : 1, w->labels, NULL, w->samples);
        if (i == 0)
            began = seconds_now();
        else
            samples += PROBE_SAMPLES / 2;
        if (status == DFL_OK && w->s->watch) status = w->s->watch(w->s->user, 0);
        if (samples > 0 && seconds_now() - began > probe_seconds) break;
    }
    dfl_run_free(run);
    const double evaluations =
        (double)(samples * dfl_plan_nfe(plan)) * dfl_model_calls(w->s->model);
    *rate = evaluations / fmax(seconds_now() - began, 1e-9);
    return status;
}

dfl_status sweep_probe(sweep *s, double *evaluations, double *pictures) {
    drawing w = {0};
    dfl_plan *plan = NULL;
    text spec = {0};
    const size_t samples = s->frame.samples;
    *evaluations = *pictures = 0;
    text_add(&spec, "solver=deis:order=0 steps=2%s", s->frame.tail);
    s->frame.samples = PIECE;
    dfl_status status = spec.failed ? fail_memory() : drawing_new(s, NULL, PIECE, &w);
    if (status == DFL_OK) status = dfl_plan_new(s->model, spec.data, &plan);
    if (status == DFL_OK) status = probe_model(&w, plan, evaluations);
    if (status == DFL_OK) status = see(&w, 0, PROBE_SAMPLES / 2, w.samples);
    const double began = seconds_now();
    if (status == DFL_OK) status = see(&w, 0, PROBE_SAMPLES / 2, w.samples);
    *pictures = PROBE_SAMPLES / 2 / fmax(seconds_now() - began, 1e-9);
    s->frame.samples = samples;
    dfl_plan_free(plan);
    drawing_free(&w);
    text_free(&spec);
    return status;
}

/* What a replicate takes depends on the numbers of samples and features, not on what they are. */
dfl_status sweep_probe_replicate(const sweep *s, double *replicates) {
    const size_t n = s->frame.samples, d = extractor_width(s->extractor);
    double *const mean = mem_array(d, sizeof *mean), *const root = mem_array(mem_product(d, d, 1),
                                                                             sizeof *root);
    float *const x = mem_array(mem_product(n, d, 1), sizeof *x);
    dfl_status status = mean && root && x ? DFL_OK : fail_memory();
    for (size_t i = 0; status == DFL_OK && i < n; i++) {
        noise_normals(0, DFL_DRAW_START, 0, i, 0, d, mean);
        for (size_t k = 0; k < d; k++) x[i * d + k] = (float)mean[k];
    }
    for (size_t i = 0; status == DFL_OK && i < d; i++) root[i * d + i] = 1;
    const gaussian_root real = {d, d, (double)d, mean, root};
    const features f = {n, d, x};
    const double began = seconds_now();
    int done = 0;
    for (double fid; status == DFL_OK && done < PROBE_TRIES; done++) {
        if (seconds_now() - began > probe_seconds) break;
        status = distance_to(&real, &f, NULL, &fid);
        if (status == DFL_OK && s->watch) status = s->watch(s->user, 0);
    }
    *replicates = done / fmax(seconds_now() - began, 1e-9);
    free(mean);
    free(root);
    free(x);
    return status;
}
