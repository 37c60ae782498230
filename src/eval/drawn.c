/* Pictures that a model draws as they are asked for: samples first .. of a seed, in the bytes they
   would be saved as. */
#include <math.h>
#include <stdlib.h>

#include "eval/pictures.h"
#include "io/io.h"
#include "model/model.h"
#include "plan/plan.h"

typedef struct {
    picture_source base;
    drawn_wish wish;
    dfl_run *run;
    float *samples; /* [batch][dim] */
    uint8_t *pixels;
} drawn_source;

static int observe(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                   const void *state) {
    const drawn_source *const s = user;
    (void)step, (void)t, (void)first, (void)state;
    return s->wish.watch(s->wish.user, (double)count / (double)(steps + 1));
}

static dfl_status drawn_read(picture_source *self, size_t from, size_t n, picture_set *out) {
    drawn_source *const s = (drawn_source *)self;
    const card *const c = &s->wish.model->card;
    const size_t dim = card_dim(c);
    if (n > s->wish.batch) n = s->wish.batch;
    TRY(dfl_run_sample(s->run, self->first + from, n, NULL, NULL, s->samples));
    for (size_t i = 0; i < n * dim; i++)
        if (!isfinite(s->samples[i]))
            return fail(DFL_E_NONFINITE, "sample %llu has a value that is no finite number",
                        (unsigned long long)(self->first + from + i / dim));
    image_bytes(ARRAY_F32, s->samples, n, c->shape[0], c->shape[1], c->shape[2], c->range[0],
                c->range[1], s->pixels);
    *out = (picture_set){out->first, n, c->shape[1], c->shape[2], c->shape[0], s->pixels};
    return DFL_OK;
}

static void drawn_free(picture_source *self) {
    drawn_source *const s = (drawn_source *)self;
    dfl_run_free(s->run);
    free(s->samples);
    free(s->pixels);
}

/* Of plan, network with its guidance, card, seed, and where samples start. */
static dfl_status digest(drawn_source *s) {
    char model[DIGEST_HEX], card_hex[DIGEST_HEX];
    text t = {0};
    TRY(model_identify(s->wish.model, model));
    TRY(model_card_digest(s->wish.model, card_hex));
    text_add(&t, "%s %s %llu%s ", model, card_hex, (unsigned long long)s->wish.seed,
             s->wish.start_name);
    plan_write(s->wish.plan, &t);
    const dfl_status status = t.failed ? fail_memory() : DFL_OK;
    if (status == DFL_OK) digest_bytes(t.data, t.len, s->base.digest);
    text_free(&t);
    return status;
}

static dfl_status prepare(drawn_source *s) {
    const card *const c = &s->wish.model->card;
    const size_t dim = card_dim(c);
    text options = {0};
    if (c->rank != 3 || (c->shape[0] != 1 && c->shape[0] != 3) || c->shape[1] > PICTURE_SIDE_MAX ||
        c->shape[2] > PICTURE_SIDE_MAX)
        return fail(DFL_E_COMBINATION, "the samples of this model are not pictures: its card has "
                                       "no shape of 1 or 3 channels, height and width");
    s->samples = mem_array(mem_product(s->wish.batch, dim, 1), sizeof *s->samples);
    s->pixels = mem_array(s->wish.batch, dim);
    if (!s->samples || !s->pixels) return fail_memory();
    TRY(digest(s));
    text_add(&options, "seed=%llu,batch=%zu%s", (unsigned long long)s->wish.seed, s->wish.batch,
             s->wish.start);
    const dfl_status status = options.failed
                                  ? fail_memory()
                                  : dfl_run_new(s->wish.plan, s->wish.model, options.data, &s->run);
    text_free(&options);
    s->wish.start = s->wish.start_name = NULL; /* not kept by whoever asked */
    TRY(status);
    if (s->wish.watch) dfl_run_observe(s->run, observe, s);
    text_add(&s->base.what, "samples of model %s, %zu evaluations each",
             c->name ? c->name : "without a name", dfl_plan_nfe(s->wish.plan));
    if (s->base.what.failed) return fail_memory();
    text_tame(s->base.what.data);
    return DFL_OK;
}

dfl_status pictures_drawn(const drawn_wish *wish, picture_source **out) {
    *out = NULL;
    drawn_source *const s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    s->wish = *wish;
    s->base = (picture_source){
        .first = wish->first, .count = wish->count, .read = drawn_read, .free = drawn_free};
    const dfl_status status = prepare(s);
    if (status == DFL_OK)
        *out = &s->base;
    else
        pictures_free(&s->base);
    return status;
}
