/* Normalising flows as priors: two networks, asked row by row, so that a sample and a density depend
   on nothing beside them. */
#include "prior/flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/features.h"

struct flow {
    flow_card card;
    feature_graph *sampler, *density;
    size_t users;
};

/* ---- opening --------------------------------------------------------------------------------- */

/* One thread: a row is too little work for more, and bits stay the same on all machines with one
   runtime and one set of instructions. */
static dfl_status open_network(const flow_network *n, size_t d, size_t width, feature_graph **out) {
    char hex[DIGEST_HEX];
    TRY(digest_file(n->file, hex));
    if (strcmp(hex, n->sha256) != 0)
        return fail(DFL_E_MODEL,
                    "%s: the sha256 is %s, but the card says %s; the file was changed or damaged",
                    n->file, hex, n->sha256);
    return feature_graph_open(&(feature_wish){.file = n->file,
                                              .images = n->input,
                                              .features = n->output,
                                              .rank = 1,
                                              .shape = {d},
                                              .width = width,
                                              .rows = 1,
                                              .threads = 1},
                              out);
}

static dfl_status open_flow(const char *folder, flow *f) {
    f->users = 1;
    TRY(flow_card_read(folder, &f->card));
    TRY(open_network(&f->card.sampler, f->card.d, f->card.d, &f->sampler));
    return open_network(&f->card.density, f->card.d, 1, &f->density);
}

void flow_release(flow *f) {
    if (!f || --f->users > 0) return;
    feature_graph_free(f->sampler);
    feature_graph_free(f->density);
    flow_card_free(&f->card);
    free(f);
}

/* Takes the flow over. */
static dfl_status wrap(flow *f, prior **out) {
    prior *const p = *out = mem_array(1, sizeof *p);
    if (!p) {
        flow_release(f);
        return fail_memory();
    }
    const flow_card *const c = &f->card;
    p->flow = f;
    p->d = c->d;
    p->a = c->a;
    p->b = c->b;
    p->gate[0] = c->gate;
    p->ngate = 1;
    prior_set_shape(p, c->rank, c->shape);
    return DFL_OK;
}

dfl_status flow_read(const char *folder, prior **out) {
    *out = NULL;
    flow *const f = mem_array(1, sizeof *f);
    if (!f) return fail_memory();
    const dfl_status status = open_flow(folder, f);
    if (status == DFL_OK) return wrap(f, out);
    flow_release(f);
    return status;
}

dfl_status flow_copy(const prior *p, prior **out) {
    p->flow->users++;
    return wrap(p->flow, out);
}

const flow_card *flow_card_of(const flow *f) {
    return &f->card;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static dfl_status ask(feature_graph *g, const double *in, size_t d, const float **out) {
    const float *none;
    float *const x = feature_graph_input(g);
    for (size_t i = 0; i < d; i++) x[i] = (float)in[i];
    return feature_graph_run(g, out, &none);
}

dfl_status flow_draw(const flow *f, uint64_t seed, uint64_t sample, double *x) {
    const float *made;
    noise_normals(seed, DFL_DRAW_START, 0, sample, 0, f->card.d, x);
    TRY(ask(f->sampler, x, f->card.d, &made));
    for (size_t i = 0; i < f->card.d; i++) {
        x[i] = made[i];
        if (!isfinite(x[i]))
            return fail(DFL_E_NONFINITE, "%s: sample %llu is not finite", f->card.sampler.file,
                        (unsigned long long)sample);
    }
    return DFL_OK;
}

dfl_status flow_logp(const flow *f, const double *x, size_t n, double *logp) {
    for (size_t r = 0; r < n; r++) {
        const float *made;
        TRY(ask(f->density, x + r * f->card.d, f->card.d, &made));
        logp[r] = *made;
        if (!isfinite(logp[r]))
            return fail(DFL_E_NONFINITE, "row %zu has no log-density: it is not finite", r);
    }
    return DFL_OK;
}
