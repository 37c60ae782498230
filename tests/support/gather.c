/* Statistics of one Gaussian. */
#include "support/gather.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/mixture.h"

void write_bytes(const char *path, const char *data) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fputs(data, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

void assert_same_files(const char *a, const char *b) {
    char *data[2];
    size_t size[2];
    assert_ok(file_read(a, 1 << 24, &data[0], &size[0]));
    assert_ok(file_read(b, 1 << 24, &data[1], &size[1]));
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    free(data[0]);
    free(data[1]);
}

static const char gaussian[] =
    "{\"format\":\"driftless-mixture/1\",\"weights\":[1],\"means\":[[0,0,0,0,0,0,0,0]],"
    "\"stds\":[0.5],\"card\":{\"prediction_type\":\"%s\",\"time_map\":{\"type\":\"linear\"}%s}}";

dfl_model *gaussian_that_predicts(const char *type, const char *more) {
    char json[512];
    dfl_model *model;
    const int n = snprintf(json, sizeof json, gaussian, type, more);
    if (mixture_parse("gaussian", json, (size_t)n, &model)) REFUTE("%s", dfl_last_message());
    return model;
}

dfl_stats *begin(dfl_model *model, const char *spec, const char *options) {
    dfl_stats *stats;
    if (dfl_stats_new(model, spec, options, &stats)) REFUTE("%s", dfl_last_message());
    return stats;
}

void gather(dfl_model *model, const char *spec, const char *options, const char *path) {
    dfl_stats *stats = begin(model, spec, options);
    while (dfl_stats_left(stats)) assert_ok(dfl_stats_batch(stats, NULL, NULL));
    assert_ok(dfl_stats_save(stats, path));
    dfl_stats_free(stats);
}
