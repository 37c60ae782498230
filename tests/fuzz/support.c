/* Shared by the fuzz targets; see fuzz.h. */
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io.h"
#include "model/model.h"
#include "plan/plan.h"

void fuzz_check(bool good, const char *sentence) {
    if (good) return;
    fprintf(stderr, "fuzz: %s (last message: %s)\n", sentence, dfl_last_message());
    abort();
}

void fuzz_outcome(dfl_status status, const void *result) {
    fuzz_check((status == DFL_OK) == (result != NULL), "status and result disagree");
    if (status == DFL_OK) return;
    fuzz_check(strcmp(dfl_status_name(status), "DFL_E_INTERNAL") != 0, "a mistake of ours");
    fuzz_check(*dfl_last_message() != 0, "a failure without a sentence");
    /* No target needs much memory, so a lack of it is another error under a wrong name. */
    fuzz_check(status != DFL_E_MEMORY, "out of memory on a small input");
}

char *fuzz_text(const uint8_t *data, size_t size) {
    char *copy = malloc(size + 1);
    fuzz_check(copy != NULL, "no memory");
    if (size > 0) memcpy(copy, data, size);
    copy[size] = 0;
    return copy;
}

const char *fuzz_file(const uint8_t *data, size_t size) {
    static char path[64];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    fuzz_check(fd >= 0 && ftruncate(fd, 0) == 0, "no file in memory");
    fuzz_check(pwrite(fd, data, size, 0) == (ssize_t)size, "the file cannot be written");
    return path;
}

/* ---- a folder ---------------------------------------------------------------------------------- */

enum { PATH_CAP = 200 };
static char own_folder[PATH_CAP / 2];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void remove_folder(void) {
    nftw(own_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void) {
    if (*own_folder) return own_folder;
    const char *const root = getenv("TMPDIR");
    snprintf(own_folder, sizeof own_folder, "%s/driftless-fuzz-XXXXXX", root ? root : "/tmp");
    fuzz_check(mkdtemp(own_folder) != NULL, "no folder");
    atexit(remove_folder);
    return own_folder;
}

static void in_folder(const char *name, char path[PATH_CAP]) {
    snprintf(path, PATH_CAP, "%s/%s", fuzz_folder(), name);
}

void fuzz_drop(const char *name) {
    char path[PATH_CAP];
    in_folder(name, path);
    fuzz_check(unlink(path) == 0, "a file cannot be removed");
}

void fuzz_put(const char *name, const void *data, size_t size) {
    char path[PATH_CAP];
    in_folder(name, path);
    for (char *slash = path + strlen(own_folder); (slash = strchr(slash + 1, '/')) != NULL;) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    const int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_check(fd >= 0 && write(fd, data, size) == (ssize_t)size, "a file cannot be written");
    close(fd);
}

/* ---- archives ---------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at;
    size_t left;
} bytes;

static unsigned take_byte(bytes *b) {
    if (b->left == 0) return 0;
    b->left--;
    return *b->at++;
}

static size_t take_size(bytes *b) {
    const unsigned first = take_byte(b);
    return first < 128 ? first : (first - 128) << 8U | take_byte(b);
}

/* The next array; false for one of too much data. */
static bool take_array(bytes *b, array *out) {
    enum { TYPES = ARRAY_I64 + 1, MOST = 1 << 16 };
    const unsigned form = take_byte(b);
    size_t count = 1;
    *out = (array){.type = (array_type)(form % 8 % TYPES), .rank = (int)(form / 8 % 5)};
    for (int i = 0; i < out->rank; i++) {
        out->shape[i] = take_size(b);
        count *= out->shape[i];
        if (count > MOST) return false;
    }
    const size_t wanted = count * array_type_size(out->type);
    const size_t there = wanted < b->left ? wanted : b->left;
    out->data = calloc(wanted + 1, 1);
    fuzz_check(out->data != NULL, "no memory");
    if (there > 0) memcpy(out->data, b->at, there);
    b->at += there;
    b->left -= there;
    return true;
}

const char *fuzz_archive(const uint8_t *data, size_t size, const char *const *names, size_t n) {
    enum { ARRAYS = 24 };
    static char path[PATH_CAP];
    named_array list[ARRAYS];
    bool taken[ARRAYS] = {false};
    int count = 0;
    bytes b = {data, size};
    if (size < 2 || memcmp(data, "PK", 2) == 0) return fuzz_file(data, size);
    while (b.left > 0) {
        const size_t name = take_byte(&b) % n;
        if (taken[name] || !take_array(&b, &list[count].value)) break;
        taken[name] = true;
        list[count++].name = names[name];
    }
    if (count == 0) return fuzz_file(data, 0);
    snprintf(path, sizeof path, "%s/archive.npz", fuzz_folder());
    fuzz_check(npz_write(path, list, count) == DFL_OK, "an archive cannot be written");
    for (int i = 0; i < count; i++) array_free(&list[i].value);
    return path;
}

char *fuzz_fetch(fuzz_getter get, const void *object) {
    size_t need = 0, again = 0;
    fuzz_check(get(object, NULL, 0, &need) == DFL_OK, "a length is refused");
    char *buf = malloc(need + 1);
    fuzz_check(buf != NULL, "no memory");
    fuzz_check(get(object, buf, need + 1, &again) == DFL_OK, "a text is refused");
    fuzz_check(need == again && strlen(buf) == need, "a text has another length than it said");
    return buf;
}

static dfl_status plan_json(const void *plan, char *buf, size_t cap, size_t *need) {
    return dfl_plan_to_json(plan, buf, cap, need);
}

char *fuzz_plan_json(const dfl_plan *plan) {
    return fuzz_fetch(plan_json, plan);
}

/* ---- cards ------------------------------------------------------------------------------------- */

void fuzz_print_card(const card *c) {
    text first = {0}, second = {0};
    card again;
    fuzz_check(card_print(c, &first) == DFL_OK, "a card cannot be printed");
    if (c->folder) fuzz_put("model.json", first.data, first.len);
    const dfl_status status = c->folder ? card_read(c->folder, &again)
                                        : card_parse("again", first.data, first.len, &again);
    fuzz_check(status == DFL_OK, "a printed card is refused");
    fuzz_check(card_print(&again, &second) == DFL_OK && !strcmp(first.data, second.data),
               "a card changes when it is printed and read");
    card_free(&again);
    text_free(&first);
    text_free(&second);
}

/* ---- models and runs ------------------------------------------------------------------------- */

static int halve(void *user, const dfl_request *rq) {
    (void)user;
    const size_t in = dfl_request_input_dim(rq), out = dfl_request_output_dim(rq);
    const float *x = dfl_request_input(rq);
    float *y = dfl_request_output(rq);
    for (size_t i = 0; i < dfl_request_count(rq); i++)
        for (size_t k = 0; k < out; k++) y[i * out + k] = x[i * in + k % in] / 2;
    return 0;
}

dfl_model *fuzz_model(int which) {
    static dfl_model *models[FUZZ_MODELS];
    static const char *const more[FUZZ_MODELS] = {
        "\"process\": \"vp_linear\"",
        "\"process\": \"psld\", \"state_components\": 2",
        "\"process\": \"psld\", \"state_components\": 2, \"output_half\": \"m\"",
    };
    char json[400];
    if (models[which]) return models[which];
    snprintf(json, sizeof json,
             "{\"format\": \"driftless-model/1\", \"prediction_type\": \"epsilon\", \"sample\": "
             "{\"shape\": [%d]}, %s}",
             FUZZ_DIM, more[which]);
    fuzz_check(dfl_model_callback(json, halve, NULL, &models[which]) == DFL_OK, "no model");
    return models[which];
}

void fuzz_run(const dfl_plan *plan, dfl_model *model) {
    enum { ROWS = 4000, SAMPLES = 2, KERNEL = 16 };
    static const float tensor[2 * FUZZ_DIM] = {0.5f, -1, 2, 0};
    float out[SAMPLES * FUZZ_DIM];
    dfl_run *run = NULL;
    if (plan->code.nrows > ROWS) return;
    for (size_t i = 0; i < plan->code.nkernels; i++)
        if (plan->code.kernels[i].K > KERNEL) return;
    const dfl_status made = dfl_run_new(plan, model, "seed=1,batch=2", &run);
    fuzz_outcome(made, run);
    for (size_t i = 0; run && i < plan->code.nnames; i++)
        dfl_run_given(run, plan->code.names[i], tensor);
    if (run) {
        const dfl_status drawn = dfl_run_sample(run, 3, SAMPLES, NULL, NULL, out);
        fuzz_outcome(drawn, drawn == DFL_OK ? run : NULL);
    }
    dfl_run_free(run);
}
