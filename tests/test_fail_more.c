/* Memory that runs out, as in test_fail.c: adaptive integration, tuning and its store, warnings,
   folders, and files of arrays and pictures. */
#include "support/refuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/forecast.h"
#include "io/io.h"
#include "model/model.h"
#include "study/doctor.h"
#include "study/stats.h"

static char folder[64];
static dfl_model *model; /* opened once, outside the counting */

static const char *in(const char *name) {
    static char paths[4][128];
    static int next;
    char *const path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- integration and tuning ------------------------------------------------------------------ */

static dfl_status try_ode(void) {
    dfl_ode *ode = NULL;
    char said[400];
    float out[6];
    dfl_status status =
        dfl_ode_new(model, "solver=ode45:rtol=1e-2,atol=1e-2 t_end=0.1", "batch=2,seed=1", &ode);
    if (status == DFL_OK) status = dfl_ode_text(ode, said, sizeof said, NULL);
    if (status == DFL_OK) status = dfl_ode_sample(ode, 0, 3, NULL, NULL, out, NULL);
    dfl_ode_free(ode);
    return status;
}

static dfl_status tune(const char *spec, const char *store) {
    dfl_tuning *tuning = NULL;
    char table[4000];
    dfl_status status = dfl_tuning_new(model, spec, &tuning);
    if (status == DFL_OK) status = dfl_tuning_run(tuning, NULL, NULL);
    if (status == DFL_OK) status = dfl_tuning_to_text(tuning, table, sizeof table, NULL);
    if (status == DFL_OK) status = dfl_tuning_save(tuning, store);
    dfl_tuning_free(tuning);
    return status;
}

#define CONJUGATE                                                                                  \
    "solver=conjugate:type=2 nfe=[4] scan=lambda=0:1:2 samples=2 t_start=0.5 t_end=0.45 "

static dfl_status try_tuning(void) {
    const char *const store = in("tuned.json");
    unlink(store);
    return tune(CONJUGATE "reference=ode45 grid=uniform", store);
}

/* Choices that replace others. */
static dfl_status try_tuning_again(void) {
    return tune(CONJUGATE "reference=ode45 grid=uniform", in("tuned.json"));
}

static dfl_status try_tuning_heun(void) {
    return tune("solver=deis:order=1 nfe=[2] samples=2 t_end=0.5 reference=heun grid=uniform",
                in("second.json"));
}

static dfl_status try_tuned(void) {
    char spec[600], note[200];
    return dfl_tuned_spec(
        model, in("kept.json"),
        "solver=conjugate:type=2,lambda=auto grid=auto steps=4 t_start=0.5 t_end=0.45", spec,
        sizeof spec, NULL, note, sizeof note);
}

static dfl_status try_warnings(void) {
    dfl_plan *plan = NULL;
    char lines[4000];
    doctor_lines found = {0};
    dfl_status status = dfl_plan_new(model, "solver=dpm:order=3 steps=4 t_end=0.1", &plan);
    if (status == DFL_OK) status = dfl_plan_warnings(plan, lines, sizeof lines, NULL);
    if (status == DFL_OK) status = doctor_of_plan(model, plan, 100, &found);
    doctor_lines_free(&found);
    dfl_plan_free(plan);
    return status;
}

/* ---- folders and files ----------------------------------------------------------------------- */

static dfl_status try_card(const char *path) {
    card c;
    text out = {0};
    dfl_status status = card_read(path, &c);
    if (status == DFL_OK) {
        status = card_print(&c, &out);
        if (status == DFL_OK && out.failed) status = fail_memory();
        card_free(&c);
    }
    text_free(&out);
    return status;
}

static dfl_status try_folder(void) {
    return try_card(DFL_MODELS "/fashion-vp");
}

static dfl_status try_diffusers(void) {
    return try_card(DFL_TEST_DATA "/diffusers");
}

enum { LIMIT = 1 << 16 };
static float numbers[12] = {1, 2, 3};

static dfl_status try_npy(void) {
    const char *const path = in("a.npy");
    const size_t shape[2] = {3, 4};
    npy_writer *w = NULL;
    array a = {0};
    dfl_status status = npy_create(path, ARRAY_F32, 2, shape, &w);
    if (status == DFL_OK && (status = npy_append(w, numbers, 3)) != DFL_OK) npy_discard(w);
    if (status == DFL_OK) status = npy_commit(w);
    if (status == DFL_OK) status = npy_read(path, LIMIT, &a);
    array_free(&a);
    return status;
}

static dfl_status try_npz(void) {
    static const char *const names[] = {"x", "y"};
    const named_array both[] = {{"x", {ARRAY_F32, 2, {3, 4}, numbers}},
                                {"y", {ARRAY_F32, 1, {12}, numbers}}};
    array read[2] = {{0}};
    dfl_status status = npz_write(in("a.npz"), both, 2);
    if (status == DFL_OK) status = npz_read(in("a.npz"), names, 2, false, LIMIT, read);
    for (int i = 0; i < 2; i++) array_free(&read[i]);
    return status;
}

static dfl_status try_png(void) {
    static const char *const keys[] = {"Title", "Software"}, *const values[] = {"a", "\xc3\xa4"};
    const uint8_t pixels[4 * 2 * 2] = {0};
    uint8_t *grid = NULL;
    size_t height, width;
    dfl_status status = image_grid(pixels, 4, 2, 2, 1, 2, &grid, &height, &width);
    if (status == DFL_OK) status = png_write(in("a.png"), height, width, 1, grid, keys, values, 2);
    free(grid);
    return status;
}

static dfl_status try_import(void) {
    return stats_import(DFL_TEST_DATA "/deis-sn-ratios.npz", "cifar10", in("ratios.json"));
}

/* A model of one number. A file that was read by half is a finding, and so an error. */
static dfl_status try_doctor(void) {
    char where[160], said[2000];
    dfl_doctor *d = NULL;
    snprintf(where, sizeof where, "mixture:%s", in("one.json"));
    dfl_status status = dfl_doctor_new(where, NULL, "solver=euler steps=2", &d);
    if (status == DFL_OK) status = dfl_doctor_to_json(d, said, sizeof said, NULL);
    if (status == DFL_OK && dfl_doctor_count(d, DFL_ERROR)) status = DFL_E_FORMAT;
    dfl_doctor_free(d);
    return status;
}

/* ---- the test -------------------------------------------------------------------------------- */

/* Moments read and decomposed, and a plan's error predicted from them. */
static dfl_status try_prediction(void) {
    spectrum data = {0};
    forecast f;
    dfl_plan *plan = NULL;
    dfl_status status = dfl_plan_new(model, "solver=ddim:eta=1 steps=2", &plan);
    if (status == DFL_OK) status = spectrum_read(in("moments.npz"), &data);
    if (status == DFL_OK) status = forecast_plan(plan, &data, &f);
    spectrum_free(&data);
    if (status == DFL_OK) status = spectrum_of_numbers(0, 1, &data);
    spectrum_free(&data);
    dfl_plan_free(plan);
    return status;
}

static dfl_status write_moments(void) {
    double mean[2] = {0.1, 0.2}, cov[4] = {1, 0.5, 0.5, 1};
    const named_array arrays[] = {
        {"mean", {.type = ARRAY_F64, .rank = 1, .shape = {2}, .data = mean}},
        {"cov", {.type = ARRAY_F64, .rank = 2, .shape = {2, 2}, .data = cov}}};
    return npz_write(in("moments.npz"), arrays, 2);
}

static dfl_status write_one(void) {
    static const char one[] =
        "{\"format\": \"driftless-mixture/1\", \"weights\": [1], \"means\": [[0.3]], \"stds\": "
        "[[0.5]], \"card\": {\"process\": \"cld\", \"state_components\": 2, \"output_half\": "
        "\"m\"}}";
    return file_save(in("one.json"), one, sizeof one - 1);
}

static const refuse_case attempts[] = {
    {"adaptive integration", try_ode, 20},
    {"tuning, ode45", try_tuning, 200},
    {"tuning, again", try_tuning_again, 200},
    {"tuning, heun", try_tuning_heun, 100},
    {"tuned values", try_tuned, 80},
    {"warnings", try_warnings, 20},
    {"a folder's card", try_folder, 40},
    {"npy", try_npy, 8},
    {"npz", try_npz, 15},
    {"png", try_png, 3},
    {"imported statistics", try_import, 10},
    {"prediction", try_prediction, 30},
    {"doctor, phase space", try_doctor, 300},
};

static void test_memory(void **state) {
    (void)state;
    refuse_each(attempts, LENGTH(attempts));
    const refuse_case foreign = {"a folder of diffusers", try_diffusers, 100};
    refuse_each_cut(&foreign, 1);
}

static int prepare(void **state) {
    (void)state;
    refuse_begin();
    snprintf(folder, sizeof folder, "/tmp/driftless-fail-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    const dfl_status status =
        dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model);
    const bool ready = status == DFL_OK && write_moments() == DFL_OK && write_one() == DFL_OK &&
                       tune(CONJUGATE, in("kept.json")) == DFL_OK;
    if (!ready) print_error("%s\n", dfl_last_message());
    return ready ? 0 : -1;
}

static int clean_up(void **state) {
    (void)state;
    static const char *const names[] = {"tuned.json",  "second.json", "kept.json",
                                        "a.npy",       "a.npz",       "a.png",
                                        "ratios.json", "moments.npz", "one.json"};
    dfl_model_free(model);
    for (size_t i = 0; i < LENGTH(names); i++) unlink(in(names[i]));
    return rmdir(folder); /* no temporary file is left */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("fail_more", tests, prepare, clean_up);
}
