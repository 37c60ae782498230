/* The fuzz targets of tests/fuzz on their kept inputs: a test for each. `test_fuzz NAME FILE...`
   takes single inputs, such as a crash that a fuzzer found. */
#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { INPUT_MAX = 1 << 24 };

#define FUZZ(name) int fuzz_##name(const uint8_t *data, size_t size);
#include "fuzz_targets.def"
#undef FUZZ

static const struct {
    const char *name;
    int (*take)(const uint8_t *data, size_t size);
} targets[] = {
#define FUZZ(name) {#name, fuzz_##name},
#include "fuzz_targets.def"
#undef FUZZ
};

static void take_file(size_t target, const char *path) {
    char *data = NULL;
    size_t size = 0;
    assert_ok(file_read(path, INPUT_MAX, &data, &size));
    /* a block of its own size, so that reading behind it shows */
    uint8_t *const exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, data, size);
    assert_int_equal(targets[target].take(exact, size), 0);
    free(exact);
    free(data);
}

static void test_corpus(void **state) {
    const size_t target = (size_t)(uintptr_t)*state;
    char path[400];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", DFL_FUZZ_CORPUS, targets[target].name);
    DIR *const folder = opendir(path);
    assert_non_null(folder);
    const uint8_t nothing = 0;
    targets[target].take(&nothing, 0);
    for (const struct dirent *e; (e = readdir(folder));) {
        if (*e->d_name == '.') continue;
        snprintf(path, sizeof path, "%s/%s/%.200s", DFL_FUZZ_CORPUS, targets[target].name,
                 e->d_name);
        take_file(target, path);
        n++;
    }
    closedir(folder);
    print_message("%s: %zu inputs\n", targets[target].name, n);
    assert_true(n >= 5);
}

static int take_arguments(int n, char **arguments) {
    for (size_t i = 0; i < LENGTH(targets); i++) {
        if (strcmp(targets[i].name, arguments[0]) != 0) continue;
        for (int k = 1; k < n; k++) take_file(i, arguments[k]);
        return 0;
    }
    fprintf(stderr, "test_fuzz: there is no target %s\n", arguments[0]);
    return 2;
}

int main(int argc, char **argv) {
    struct CMUnitTest tests[LENGTH(targets)];
    if (argc > 1) return take_arguments(argc - 1, argv + 1);
    for (size_t i = 0; i < LENGTH(targets); i++)
        tests[i] =
            (struct CMUnitTest){targets[i].name, test_corpus, NULL, NULL, (void *)(uintptr_t)i};
    return cmocka_run_group_tests_name("fuzz", tests, NULL, NULL);
}
