/* Option text: values, refusals with their sentences, printing that reads back, help. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static const opt_row rows[] = {
    {"order", OPT_INT, "2", 0, 3, NULL, "order of the polynomial"},
    {"eta", OPT_REAL, "0", 0, 1, NULL, "share of noise"},
    {"clip", OPT_BOOL, "no", 0, 0, NULL, "clip the predicted sample"},
    {"kind", OPT_CHOICE, "tab", 0, 0, "tab|rhoab|rhork", "family"},
    {"file", OPT_TEXT, NULL, 0, 0, NULL, "path of a table"},
    {"times", OPT_LIST, NULL, 0, 1, NULL,
     "a list of times that is explained in a text so long "
     "that it has to be wrapped into several lines"},
    {"seed", OPT_INT, "0", 0, 9223372036854775807.0, NULL, "seed"},
    {"sigma", OPT_REAL, NULL, 0, INFINITY, NULL, "standard deviation"},
    {NULL, OPT_INT, NULL, 0, 0, NULL, NULL},
};

static const opt_row outer[] = {
    {"solver", OPT_TEXT, "deis", 0, 0, NULL, "solver"},
    {"steps", OPT_INT, "10", 1, 1000, NULL, "steps"},
    {"grid", OPT_TEXT, NULL, 0, 0, NULL, "grid"},
    {NULL, OPT_INT, NULL, 0, 0, NULL, NULL},
};

static void test_opt_values(void **state) {
    (void)state;
    opts o;
    assert_int_equal(opts_parse("solver x", rows,
                                "order=3, eta=2.5e-1 ,clip=yes,kind=rhork,file=a:'b, c'\"d'\".npy,"
                                "times=[1, 0.5,\t0],seed=9007199254740993",
                                &o),
                     DFL_OK);
    assert_int_equal(opt_int(&o, "order"), 3);
    assert_true(opt_real(&o, "eta") == 0.25);
    assert_true(opt_bool(&o, "clip"));
    assert_int_equal(opt_choice(&o, "kind"), 2);
    assert_string_equal(opt_text(&o, "kind"), "rhork");
    assert_string_equal(opt_text(&o, "file"), "a:b, cd'.npy");
    assert_int_equal(opt_get(&o, "times")->nlist, 3);
    assert_true(opt_get(&o, "times")->list[1] == 0.5);
    assert_true(opt_int(&o, "seed") == 9007199254740993LL);
    assert_true(opt_get(&o, "order")->given);
    assert_false(opt_get(&o, "sigma")->set);
    opts_free(&o);

    assert_int_equal(opts_parse("solver x", rows, NULL, &o), DFL_OK);
    assert_int_equal(opt_int(&o, "order"), 2);
    assert_true(opt_get(&o, "order")->set && !opt_get(&o, "order")->given);
    assert_null(opt_text(&o, "file"));
    opts_free(&o);
    assert_int_equal(opts_parse("solver x", rows, "file='',times=[]", &o), DFL_OK);
    assert_string_equal(opt_text(&o, "file"), "");
    assert_true(opt_get(&o, "times")->set && opt_get(&o, "times")->nlist == 0);
    opts_free(&o);
}

static void test_opt_refusals(void **state) {
    (void)state;
    static const struct {
        const char *body;
        dfl_status status;
        const char *message;
    } cases[] = {
        {"ordr=3", DFL_E_KEY, "solver deis: unknown option 'ordr'; did you mean 'order'?"},
        {"zzz=3", DFL_E_KEY, "unknown option 'zzz'; allowed: order, eta, clip"},
        {"order=3,order=3", DFL_E_KEY, "order is given twice"},
        {"order=7", DFL_E_RANGE, "solver deis: order=7 is outside 0..3"},
        {"order=-1", DFL_E_RANGE, "order=-1 is outside 0..3"},
        {"sigma=-2", DFL_E_RANGE, "sigma=-2 must be at least 0"},
        {"order=1.5", DFL_E_RANGE, "order=1.5 is not a whole number"},
        {"order=99999999999999999999", DFL_E_RANGE, "is not a whole number"},
        {"eta=0.5x", DFL_E_RANGE, "eta=0.5x is not a finite number"},
        {"eta=nan", DFL_E_RANGE, "not a finite number"},
        {"eta=1e999", DFL_E_RANGE, "not a finite number"},
        {"eta=0,5", DFL_E_KEY, "unknown option '5'"},
        {"clip=maybe", DFL_E_RANGE, "must be 0, 1, false, true, no or yes"},
        {"kind=rhoba", DFL_E_RANGE, "is not one of tab|rhoab|rhork; did you mean 'rhoab'?"},
        {"kind=xyz", DFL_E_RANGE, "kind=xyz is not one of tab|rhoab|rhork"},
        {"order", DFL_E_KEY, "order needs a value"},
        {"order=", DFL_E_KEY, "order needs a value"},
        {"=3", DFL_E_KEY, "unknown option ''"},
        {",order=3", DFL_E_KEY, "missing beside a comma"},
        {"order=3,,eta=0", DFL_E_KEY, "missing beside a comma"},
        {"order=3,", DFL_E_KEY, "nothing follows the last comma"},
        {"file=a b", DFL_E_KEY, "must be quoted"},
        {"file='a", DFL_E_KEY, "no closing '"},
        {"times=[1,2", DFL_E_KEY, "do not match"},
        {"file=a]b", DFL_E_KEY, "do not match"},
        {"times=1", DFL_E_RANGE, "must be a list of numbers"},
        {"times=[1,]", DFL_E_RANGE, "must be a list of numbers"},
        {"times=[1 0]", DFL_E_RANGE, "must be a list of numbers"},
        {"times=[[1]]", DFL_E_RANGE, "must be a list of numbers"},
        {"times=[1]0", DFL_E_RANGE, "must be a list of numbers"},
        {"times=[1,2]", DFL_E_RANGE, "times=2 is outside 0..1"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        opts o;
        assert_int_equal(opts_parse("solver deis", rows, cases[i].body, &o), cases[i].status);
        assert_message_has(cases[i].message);
        assert_int_equal(o.n, 0);
    }
    static const opt_row none[] = {{NULL, OPT_INT, NULL, 0, 0, NULL, NULL}};
    static const opt_row wrong[] = {{"a", OPT_INT, "x", 0, 1, NULL, ""},
                                    {NULL, OPT_INT, NULL, 0, 0, NULL, NULL}};
    opts o;
    assert_int_equal(opts_parse("grid uniform", none, "a=1", &o), DFL_E_KEY);
    assert_message_has("it takes none");
    assert_int_equal(opts_parse("x", wrong, "", &o), DFL_E_INTERNAL);
    char *const huge = mem_array((5 << 20) + 1, 1);
    memset(huge, ' ', 5 << 20);
    assert_int_equal(opts_parse("x", rows, huge, &o), DFL_E_RANGE);
    free(huge);
}

static void test_opt_long_list(void **state) {
    (void)state;
    text body = {0};
    opts o;
    text_add(&body, "times=[0");
    for (int i = 1; i < 100000; i++) text_add(&body, ",1");
    const size_t full = body.len;
    text_add(&body, "]");
    assert_int_equal(opts_parse("x", rows, body.data, &o), DFL_OK);
    assert_int_equal(opt_get(&o, "times")->nlist, 100000);
    opts_free(&o);
    body.len = full;
    text_add(&body, ",1]");
    assert_int_equal(opts_parse("x", rows, body.data, &o), DFL_E_RANGE);
    assert_message_has("more than 100000 numbers");
    text_free(&body);
}

/* A stranger's card may hold a megabyte of them: each is looked at once. */
static void test_opt_many_blanks(void **state) {
    (void)state;
    static const char *const formats[] = {"times=[0,%*s1]", "times=[0,1]%*s",
                                          "eta=1%*s,times=[0,1]"};
    for (size_t i = 0; i < LENGTH(formats); i++) {
        text body = {0};
        opts o;
        const double began = seconds_now();
        text_add(&body, formats[i], 1 << 20, "");
        assert_ok(opts_parse("x", rows, body.data, &o));
        assert_int_equal(opt_get(&o, "times")->nlist, 2);
        assert_true(seconds_now() - began < 10);
        opts_free(&o);
        text_free(&body);
    }
}

static void test_opt_words(void **state) {
    (void)state;
    opts o;
    assert_int_equal(opts_parse_words("plan", outer,
                                      "  solver=deis:order=3,kind=tab\tsteps=12\n"
                                      "grid=list:times=[1, 0],file='a b' ",
                                      &o),
                     DFL_OK);
    assert_string_equal(opt_text(&o, "solver"), "deis:order=3,kind=tab");
    assert_int_equal(opt_int(&o, "steps"), 12);
    assert_string_equal(opt_text(&o, "grid"), "list:times=[1, 0],file='a b'");
    opts_free(&o);
    assert_int_equal(opts_parse_words("plan", outer, "solver=\"deis:file='a b'\" steps='5'", &o),
                     DFL_OK);
    assert_string_equal(opt_text(&o, "solver"), "deis:file='a b'");
    assert_int_equal(opt_int(&o, "steps"), 5);
    opts_free(&o);
    assert_int_equal(opts_parse_words("plan", outer, "step=3", &o), DFL_E_KEY);
    assert_message_has("did you mean 'steps'?");
    assert_int_equal(opts_parse_words("plan", outer, "steps = 3", &o), DFL_E_KEY);
}

static void test_opt_head(void **state) {
    (void)state;
    char *name = NULL;
    const char *rest = NULL;
    assert_int_equal(opt_head("deis:file='a:b',order=3", &name, &rest), DFL_OK);
    assert_string_equal(name, "deis");
    assert_string_equal(rest, "file='a:b',order=3");
    free(name);
    assert_int_equal(opt_head("ddim", &name, &rest), DFL_OK);
    assert_string_equal(name, "ddim");
    assert_string_equal(rest, "");
    free(name);
    static const char *const bad[] = {"", ":a=1", "a b", "'deis':x=1", "order=3"};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        assert_int_equal(opt_head(bad[i], &name, &rest), DFL_E_KEY);
        assert_null(name);
    }
}

static void test_opt_print(void **state) {
    (void)state;
    static const char *const bodies[] = {"",
                                         "order=3,eta=.1,kind=rhoab",
                                         "file='a b, c'",
                                         "file=\"it's\",times=[1,.3333333333333333]",
                                         "file='\"'\"it's\"'\"',sigma=1e-7",
                                         "file='',seed=9007199254740993"};
    for (size_t i = 0; i < LENGTH(bodies); i++) {
        opts a, b;
        text ta = {0}, tb = {0};
        assert_int_equal(opts_parse("x", rows, bodies[i], &a), DFL_OK);
        opts_print(&a, &ta);
        assert_int_equal(opts_parse("x", rows, ta.data, &b), DFL_OK);
        opts_print(&b, &tb);
        assert_string_equal(ta.data, tb.data);
        for (int k = 0; k < a.n; k++) {
            const opt_value *const va = &a.v[k], *const vb = &b.v[k];
            assert_int_equal(va->set, vb->set);
            assert_true(va->number == vb->number && va->nlist == vb->nlist);
            if (va->row->type == OPT_TEXT && va->set) assert_string_equal(va->text, vb->text);
            if (va->nlist) assert_memory_equal(va->list, vb->list, va->nlist * sizeof *va->list);
        }
        if (i == 1) {
            assert_string_equal(ta.data, "order=3,eta=0.1,clip=0,kind=rhoab,seed=0");
        }
        text_free(&ta);
        text_free(&tb);
        opts_free(&a);
        opts_free(&b);
    }
}

static void test_opt_help(void **state) {
    (void)state;
    text t = {0};
    opts_help(rows, "  ", &t);
    assert_non_null(strstr(t.data, "  order  integer 0..3"));
    assert_non_null(strstr(t.data, "lines\n"));
    assert_non_null(strstr(t.data, "integer >= 0"));
    size_t lines = 0;
    for (const char *at = t.data; *at; at += strcspn(at, "\n") + 1) {
        assert_true(strcspn(at, "\n") <= 80);
        lines++;
    }
    assert_true(lines > LENGTH(rows) - 1);
    text_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opt_values),    cmocka_unit_test(test_opt_refusals),
        cmocka_unit_test(test_opt_long_list), cmocka_unit_test(test_opt_words),
        cmocka_unit_test(test_opt_head),      cmocka_unit_test(test_opt_print),
        cmocka_unit_test(test_opt_help),      cmocka_unit_test(test_opt_many_blanks),
    };
    return cmocka_run_group_tests_name("opt", tests, NULL, NULL);
}
