/* The base layer: status and messages, memory, text and numbers, files, digests. */
#include "support/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

/* ---- status ---------------------------------------------------------------------------------- */

static void test_status(void **state) {
    (void)state;
    assert_string_equal(dfl_version(), "0.1.0");
    assert_string_equal(dfl_status_name(DFL_OK), "DFL_OK");
    assert_string_equal(dfl_status_name(DFL_E_RANGE), "DFL_E_RANGE");
    assert_string_equal(dfl_status_text(DFL_E_STOPPED), "the run was cancelled");
    assert_string_equal(dfl_status_text(42), "a callback's own code");
    assert_non_null(dfl_status_name(42));
    assert_non_null(dfl_status_name(-1000));
    assert_non_null(dfl_status_text(-1000));
}

static void test_messages(void **state) {
    (void)state;
    assert_int_equal(fail(DFL_E_ARG, "n=%d is odd", 3), DFL_E_ARG);
    assert_string_equal(dfl_last_message(), "n=3 is odd");
    assert_int_equal(fail_in(DFL_E_KEY, "file %s", "a.json"), DFL_E_KEY);
    assert_string_equal(dfl_last_message(), "file a.json: n=3 is odd");
    fail(DFL_E_ARG, "again: %s", dfl_last_message());
    assert_string_equal(dfl_last_message(), "again: file a.json: n=3 is odd");
    assert_int_equal(fail_memory(), DFL_E_MEMORY);
    assert_string_equal(dfl_last_message(), "out of memory");
    char longest[2000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    fail(DFL_E_ARG, "%s", longest);
    assert_int_equal(strlen(dfl_last_message()), 511);
    assert_string_equal(dfl_last_message() + 508, "...");
    fail_in(DFL_E_ARG, "%s", longest);
    assert_int_equal(strlen(dfl_last_message()), 511);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void test_memory(void **state) {
    (void)state;
    char *const none = mem_array(0, 8);
    double *const some = mem_array(3, sizeof *some);
    assert_non_null(none);
    assert_true(some[0] == 0 && some[2] == 0);
    free(none);
    free(some);
    assert_null(mem_array(SIZE_MAX, 1));
    assert_null(mem_array(SIZE_MAX / 2, 4));

    void *grown = NULL;
    size_t cap = 0;
    assert_true(mem_grow(&grown, &cap, 5, sizeof(int)));
    assert_true(cap >= 5);
    const size_t before = cap;
    assert_true(mem_grow(&grown, &cap, 2, sizeof(int)));
    assert_false(mem_grow(&grown, &cap, SIZE_MAX / 2, sizeof(int)));
    assert_int_equal(cap, before);
    free(grown);

    assert_int_equal(mem_product(2, 3, 4), 24);
    assert_int_equal(mem_product(SIZE_MAX, SIZE_MAX, 0), 0);
    assert_true(mem_product(SIZE_MAX, 2, 1) == SIZE_MAX);
    assert_true(mem_product((size_t)1 << 40, 1 << 12, (size_t)1 << 40) == SIZE_MAX);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void test_text(void **state) {
    (void)state;
    text t = {0};
    char small[5] = "....";
    size_t need = 0;
    for (int i = 0; i < 100; i++) text_add(&t, "%02d", i);
    assert_int_equal(t.len, 200);
    assert_int_equal(text_result(&t, small, sizeof small, &need), DFL_OK);
    assert_string_equal(small, "0001");
    assert_int_equal(need, 200);
    assert_null(t.data);
    assert_int_equal(text_result(&t, NULL, 0, &need), DFL_OK);
    assert_int_equal(need, 0);
    text_add(&t, "abc");
    assert_int_equal(text_result(&t, NULL, 3, &need), DFL_E_ARG);
    t.failed = true;
    assert_int_equal(text_result(&t, small, sizeof small, &need), DFL_E_MEMORY);
    assert_string_equal(small, "");
}

static void check_numbers(void) {
    static const struct {
        double x;
        const char *digits;
    } cases[] = {{0, "0"},
                 {-0.0, "-0.0"},
                 {0.1, "0.1"},
                 {-2.5, "-2.5"},
                 {1.0 / 3, "0.3333333333333333"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1e300, "1e+300"},
                 {5e-324, "4.94065645841247e-324"},
                 {123456789012345678.0, "1.2345678901234568e+17"}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        text t = {0};
        double back = 1;
        text_real(&t, cases[i].x);
        assert_string_equal(t.data, cases[i].digits);
        assert_true(text_to_real(t.data, &back));
        assert_memory_equal(&back, &cases[i].x, sizeof back);
        text_free(&t);
    }
    assert_string_equal(real_text(0.3).s, "0.3");
    assert_string_equal(real_text(HUGE_VAL).s, "inf");
    fail(DFL_E_RANGE, "x=%g", 0.5);
    assert_string_equal(dfl_last_message(), "x=0.5");
}

static void test_numbers(void **state) {
    (void)state;
    static const char *const not_reals[] = {"",    " 1", "1 ",  "nan",   "inf", "0x10",
                                            "1,5", "1e", "--1", "1e999", ".",   "1.2.3"};
    static const char *const not_ints[] = {"",    " 1", "1 ",  "1.0",
                                           "0x1", "-",  "+-1", "99999999999999999999"};
    double x = 7;
    long long n = 7;
    check_numbers();
    for (size_t i = 0; i < LENGTH(not_reals); i++) assert_false(text_to_real(not_reals[i], &x));
    for (size_t i = 0; i < LENGTH(not_ints); i++) assert_false(text_to_int(not_ints[i], &n));
    assert_true(x == 7 && n == 7);
    assert_true(text_to_real("+1.5e-3", &x));
    assert_true(x == 1.5e-3);
    assert_true(text_to_int("-9223372036854775808", &n));
    assert_true(n == INT64_MIN);
    static const char *const not_u64[] = {"",   "-1", "+1", " 1", "1.0", "18446744073709551616",
                                          "1e3"};
    uint64_t u = 7;
    for (size_t i = 0; i < LENGTH(not_u64); i++) assert_false(text_to_u64(not_u64[i], &u));
    assert_true(u == 7 && text_to_u64("18446744073709551615", &u) && u == UINT64_MAX);
}

static void test_locale(void **state) {
    (void)state;
    comma_locale();
    check_numbers();
    setlocale(LC_NUMERIC, "C");
}

static void test_tame(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"plain\nline", "plain\nline"},
        {"\x1b[2J\t\r\x7f", "?[2J???"},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xc2\x9b|\xc2\xa0|\xc2\xad", "??|\xc2\xa0|??"},
        {"\xe2\x80\xae|\xef\xbb\xbf", "???|???"},           /* turned round; a mark */
        {"\xff \xc0\x80 \xed\xa0\x80", "? ?? ???"},         /* never; too long; half a pair */
        {"\xf4\x90\x80\x80 \xf5\x80\x80\x80", "???? ????"}, /* beyond the last character */
        {"cut \xe2\x82", "cut ??"},
        {"\xe3\x85\xa4|\xef\xb8\x8f|\xe1\xa0\x8e", "???|???|???"}, /* letters that are blank */
        {"\xef\xbe\xa0|\xe1\x85\x9f|\xf3\xa0\x84\x80", "???|???|????"},
    };
    for (size_t i = 0; i < LENGTH(pairs); i++) {
        char s[40];
        snprintf(s, sizeof s, "%s", pairs[i][0]);
        text_tame(s);
        assert_string_equal(s, pairs[i][1]);
    }
    refused(fail(DFL_E_KEY, "a %s b", "\x1b\x9c"), DFL_E_KEY, "a ?? b");
    refused(fail(DFL_E_KEY, "%s", "a\nb\n"), DFL_E_KEY, "a b ");
}

static void test_closest(void **state) {
    (void)state;
    static const char *const keys[] = {"order", "kind", "eta", "kappa", "t_start", "variance"};
    static const struct {
        const char *word, *closest;
    } cases[] = {{"ordr", "order"},
                 {"oredr", "order"},
                 {"ORDER", "order"},
                 {"knd", "kind"},
                 {"kapa", "kappa"},
                 {"tstart", "t_start"},
                 {"varience", "variance"},
                 {"var", "variance"},
                 {"x", NULL},
                 {"", NULL},
                 {"steps", NULL},
                 {"zzzzz", NULL}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const char *const found = text_closest(cases[i].word, keys, LENGTH(keys));
        if (cases[i].closest) {
            assert_non_null(found);
            assert_string_equal(found, cases[i].closest);
        } else {
            assert_null(found);
        }
    }
    char *const copy = text_copy("abc");
    assert_string_equal(copy, "abc");
    free(copy);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void put(const char *path, const char *content) {
    file_writer w;
    assert_int_equal(file_create(path, &w), DFL_OK);
    assert_int_equal(file_write(&w, content, strlen(content)), DFL_OK);
    assert_int_equal(file_commit(&w), DFL_OK);
}

static void assert_content(const char *path, const char *content) {
    char *data = NULL;
    size_t size = 0;
    assert_int_equal(file_read(path, 1 << 20, &data, &size), DFL_OK);
    assert_int_equal(size, strlen(content));
    assert_string_equal(data, content);
    free(data);
}

static void test_file_read(void **state) {
    (void)state;
    char *data = NULL;
    size_t size = 0;
    put(in_folder("a"), "0123456789");
    assert_content(in_folder("a"), "0123456789");
    assert_int_equal(file_read(in_folder("a"), 10, &data, &size), DFL_OK);
    free(data);
    assert_int_equal(file_read(in_folder("a"), 9, &data, &size), DFL_E_FORMAT);
    assert_null(data);
    assert_int_equal(file_read(in_folder("none"), 9, &data, &size), DFL_E_IO);
    assert_message_has("No such file");
    assert_int_equal(file_read(the_folder(), 9, &data, &size), DFL_E_IO);
    assert_message_has("it is a folder");
    /* no size beforehand, and no end either */
    assert_int_equal(file_read("/dev/zero", 100000, &data, &size), DFL_E_FORMAT);
    assert_int_equal(file_read("/dev/null", 9, &data, &size), DFL_OK);
    assert_int_equal(size, 0);
    free(data);
}

static void test_file_write(void **state) {
    (void)state;
    const int before = folder_entries();
    file_writer w;
    put(in_folder("b"), "old");
    chmod(in_folder("b"), 0600);
    assert_int_equal(file_create(in_folder("b"), &w), DFL_OK);
    assert_int_equal(file_write(&w, "new", 3), DFL_OK);
    assert_content(in_folder("b"), "old"); /* not yet */
    assert_int_equal(file_commit(&w), DFL_OK);
    file_discard(&w);
    assert_content(in_folder("b"), "new");
    struct stat info;
    assert_int_equal(stat(in_folder("b"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);

    assert_int_equal(file_create(in_folder("c"), &w), DFL_OK);
    assert_int_equal(file_write(&w, "x", 1), DFL_OK);
    file_discard(&w);
    file_discard(&w);
    w = (file_writer){0};
    file_discard(&w);
    assert_int_equal(access(in_folder("c"), F_OK), -1);
    assert_int_equal(folder_entries(), before + 1);

    /* a link keeps pointing to the file that is written */
    assert_int_equal(symlink("b", in_folder("link")), 0);
    put(in_folder("link"), "through");
    assert_content(in_folder("b"), "through");
    assert_int_equal(lstat(in_folder("link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
}

static void test_file_refusals(void **state) {
    (void)state;
    static const struct {
        const char *path, *message;
    } cases[] = {{"none/x", "No such file"},
                 {"a/x", "Not a directory"},
                 {"", "that is a folder"},
                 {"new/", "that is a folder"},
                 {"a/", "Not a directory"}};
    put(in_folder("a"), "0123456789");
    const int before = folder_entries();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        file_writer w;
        assert_int_equal(file_create(in_folder(cases[i].path), &w), DFL_E_IO);
        assert_message_has(cases[i].message);
        assert_null(w.path);
    }
    file_writer w;
    assert_int_equal(file_create("", &w), DFL_E_IO);
    assert_int_equal(file_create("/proc/driftless", &w), DFL_E_IO);
    assert_int_equal(folder_entries(), before);
    /* the folder vanishes while the file is being written */
    assert_int_equal(mkdir(in_folder("gone"), 0777), 0);
    assert_int_equal(file_create(in_folder("gone/x"), &w), DFL_OK);
    assert_int_equal(unlink(w.temporary), 0);
    assert_int_equal(file_commit(&w), DFL_E_IO);
    assert_null(w.path);
    assert_int_equal(rmdir(in_folder("gone")), 0);
}

static void test_file_special(void **state) {
    (void)state;
    file_writer w;
    assert_int_equal(file_create("/dev/null", &w), DFL_OK);
    assert_null(w.temporary);
    assert_int_equal(file_write(&w, "x", 1), DFL_OK);
    assert_int_equal(file_commit(&w), DFL_OK);
    assert_int_equal(file_create("/dev/full", &w), DFL_OK);
    assert_int_equal(file_write(&w, "x", 1), DFL_E_IO);
    assert_message_has("No space left");
    file_discard(&w);
    struct stat info;
    assert_int_equal(stat("/dev/full", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
}

static void test_file_inside(void **state) {
    (void)state;
    static const char *const bad[] = {"/etc/passwd", "../x", "a/../../x", "..",    "",
                                      "a//b",        "a/",   "/",         "sub/.."};
    char *out = NULL;
    put(in_folder("a"), "0123456789");
    assert_int_equal(file_inside(the_folder(), "a", &out), DFL_OK);
    assert_content(out, "0123456789");
    free(out);
    assert_int_equal(file_inside(the_folder(), "./a", &out), DFL_OK);
    free(out);
    for (size_t i = 0; i < LENGTH(bad); i++) {
        assert_int_equal(file_inside(the_folder(), bad[i], &out), DFL_E_FORMAT);
        assert_null(out);
    }
    assert_int_equal(file_inside(the_folder(), "missing", &out), DFL_E_IO);
    assert_int_equal(file_inside("/no/such", "a", &out), DFL_E_IO);
    assert_int_equal(symlink("/etc/passwd", in_folder("escape")), 0);
    assert_int_equal(file_inside(the_folder(), "escape", &out), DFL_E_FORMAT);
    assert_message_has("leads out of its folder");
    assert_int_equal(symlink("a", in_folder("stays")), 0);
    assert_int_equal(file_inside(the_folder(), "stays", &out), DFL_OK);
    free(out);
    /* opening a pipe would wait for a writer */
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_int_equal(file_inside(the_folder(), "pipe", &out), DFL_E_IO);
    assert_message_has("not a regular file");
    /* a sibling whose name begins like the folder's is outside */
    char sibling[80];
    snprintf(sibling, sizeof sibling, "%s-2", the_folder());
    put(sibling, "x");
    assert_int_equal(symlink(sibling, in_folder("sibling")), 0);
    assert_int_equal(file_inside(the_folder(), "sibling", &out), DFL_E_FORMAT);
    assert_int_equal(unlink(sibling), 0);
}

/* ---- digests --------------------------------------------------------------------------------- */

static void test_digest(void **state) {
    (void)state;
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    char hex[DIGEST_HEX];
    digest_bytes(NULL, 0, hex);
    assert_string_equal(hex, empty);
    digest_bytes("abc", 3, hex);
    assert_string_equal(hex, abc);
    put(in_folder("abc"), "abc");
    assert_int_equal(digest_file(in_folder("abc"), hex), DFL_OK);
    assert_string_equal(hex, abc);
    assert_int_equal(digest_file(in_folder("none"), hex), DFL_E_IO);
    assert_string_equal(hex, "");
    assert_int_equal(digest_file(the_folder(), hex), DFL_E_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),       cmocka_unit_test(test_messages),
        cmocka_unit_test(test_memory),       cmocka_unit_test(test_text),
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_locale),
        cmocka_unit_test(test_tame),

        cmocka_unit_test(test_closest),      cmocka_unit_test(test_file_read),
        cmocka_unit_test(test_file_write),   cmocka_unit_test(test_file_refusals),
        cmocka_unit_test(test_file_special), cmocka_unit_test(test_file_inside),
        cmocka_unit_test(test_digest),
    };
    return cmocka_run_group_tests_name("base", tests, folder_make, folder_remove);
}
