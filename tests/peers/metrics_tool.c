/* All metrics of two sets of features, for comparison with other programs:
   metrics_tool GENERATED.npy REAL.npy [LOGITS.npy], each float32 [n][d]. Prints one JSON object. */
#include <stdio.h>
#include <stdlib.h>

#include "eval/metrics.h"
#include "io/io.h"

static dfl_status read_features(const char *path, features *out) {
    array a;
    TRY(npy_read(path, (size_t)1 << 32, &a));
    *out = (features){a.shape[0], a.shape[1], a.data};
    if (a.type == ARRAY_F32 && a.rank == 2) return DFL_OK;
    array_free(&a);
    *out = (features){0};
    return fail(DFL_E_FORMAT, "%s: not float32 of two dimensions", path);
}

static dfl_status say_frechet(const features *a, const features *b) {
    moments ma = {0}, mb = {0};
    double distance = 0;
    dfl_status status = moments_new(a->d, &ma);
    if (status == DFL_OK) status = moments_new(b->d, &mb);
    if (status == DFL_OK) status = moments_add(&ma, a->x, a->n);
    if (status == DFL_OK) status = moments_add(&mb, b->x, b->n);
    if (status == DFL_OK) status = frechet(&ma, &mb, &distance);
    if (status == DFL_OK) printf("{\"fid\": %.17g", distance);
    moments_free(&ma);
    moments_free(&mb);
    return status;
}

static dfl_status say_kernels(const features *a, const features *b) {
    kid_result whole, subsets;
    mmd_result m;
    const size_t all = a->n < b->n ? a->n : b->n;
    TRY(kid(a, b, &(kid_options){.subset_size = all}, NULL, &whole));
    TRY(kid(a, b, &(kid_options){.subset_size = all / 4}, NULL, &subsets));
    TRY(mmd(a, b, &(mmd_options){0}, NULL, &m));
    printf(", \"kid\": %.17g, \"kid_subsets\": %.17g, \"kid_std\": %.17g, \"mmd2\": %.17g, "
           "\"bandwidth\": %.17g",
           whole.mean, subsets.mean, subsets.std, m.squared, m.bandwidth);
    return DFL_OK;
}

static dfl_status say_neighbours(const features *a, const features *b) {
    prdc_result p;
    TRY(prdc(b, a, &(prdc_options){0}, NULL, &p));
    printf(", \"precision\": %.17g, \"recall\": %.17g, \"density\": %.17g, \"coverage\": %.17g",
           p.precision, p.recall, p.density, p.coverage);
    return DFL_OK;
}

static dfl_status say_sliced(const features *a, const features *b) {
    sliced_result s;
    TRY(sliced_wasserstein(a, b, &(sliced_options){.directions = 2000}, NULL, &s));
    printf(", \"sliced\": %.17g, \"sliced_error\": %.17g", s.distance, s.error);
    return DFL_OK;
}

static dfl_status say_inception(const char *path) {
    features f = {0};
    inception s = {0};
    inception_result r;
    dfl_status status = read_features(path, &f);
    if (status == DFL_OK) status = inception_new(f.d, INCEPTION_SPLITS, f.n, &s);
    if (status == DFL_OK) status = inception_add(&s, 0, f.x, f.n);
    if (status == DFL_OK) status = inception_score(&s, &r);
    if (status == DFL_OK) printf(", \"is\": %.17g, \"is_std\": %.17g", r.mean, r.std);
    inception_free(&s);
    free((float *)f.x);
    return status;
}

int main(int argc, char **argv) {
    features a = {0}, b = {0};
    if (argc < 3 || argc > 4) return 2;
    dfl_status status = read_features(argv[1], &a);
    if (status == DFL_OK) status = read_features(argv[2], &b);
    if (status == DFL_OK) status = say_frechet(&a, &b);
    if (status == DFL_OK) status = say_kernels(&a, &b);
    if (status == DFL_OK) status = say_neighbours(&a, &b);
    if (status == DFL_OK) status = say_sliced(&a, &b);
    if (status == DFL_OK && argc == 4) status = say_inception(argv[3]);
    if (status == DFL_OK) printf("}\n");
    if (status != DFL_OK) fprintf(stderr, "metrics_tool: %s\n", dfl_last_message());
    free((float *)a.x);
    free((float *)b.x);
    return status != DFL_OK;
}
