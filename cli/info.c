/* "driftless info": a model's card and the facts of its runtime, as lines of key and value. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "spec.h"

static int run_info(const args *a);

static const arg_row rows[] = {
    {0, "json", NULL, NULL, NULL, "print the JSON object itself", ARG_FLAG, 0, 0},
    {0, "card", NULL, NULL, NULL, "print the card alone as JSON, to be kept as model.json",
     ARG_FLAG, 0, 0},
    ROWS_END};

const command command_info = {"info",
                              "MODEL [options]",
                              "Prints a model's card and what its runtime says. What is odd about "
                              "the card goes to standard error.",
                              NULL,
                              1,
                              1,
                              rows,
                              run_info};

enum { KEY_MAX = 200, DEPTH_MAX = 8 };

/* A value that fits on a line: a scalar, or a list of scalars. */
static void add_scalar(const json_t *v, text *out) {
    switch (json_typeof(v)) {
    case JSON_STRING: text_add(out, "%s", json_string_value(v)); break;
    case JSON_INTEGER: text_add(out, "%lld", (long long)json_integer_value(v)); break;
    case JSON_REAL: text_real(out, json_real_value(v)); break;
    case JSON_TRUE: text_add(out, "yes"); break;
    case JSON_FALSE: text_add(out, "no"); break;
    case JSON_NULL: text_add(out, "none"); break;
    case JSON_OBJECT:
    case JSON_ARRAY: text_add(out, "(nested)"); break;
    }
}

static void add_value(const json_t *v, text *out) {
    if (!json_is_array(v)) {
        add_scalar(v, out);
        return;
    }
    const size_t n = json_array_size(v), shown = n > 64 ? 64 : n;
    for (size_t i = 0; i < shown; i++) {
        if (i > 0) text_add(out, ", ");
        add_scalar(json_array_get(v, i), out);
    }
    if (shown < n) text_add(out, ", ... (%zu in all)", n);
}

enum { VALUE_COLUMN = 26 };

static void add_line(const char *key, const json_t *v, text *out) {
    text value = {0};
    add_value(v, &value);
    text_add(out, "%-*s ", VALUE_COLUMN - 1, key);
    if (value.failed) out->failed = true;
    if (value.len == 0) text_add(out, "\n");
    const size_t column = strlen(key) + 1 > VALUE_COLUMN ? strlen(key) + 1 : VALUE_COLUMN;
    if (value.len > 0) text_wrap(out, value.data, column, VALUE_COLUMN);
    text_free(&value);
}

/* Members of an object, nested ones as "outer.inner". */
static void add_object(const char *prefix, json_t *object, int depth, text *out) {
    const char *name;
    json_t *v;
    json_object_foreach(object, name, v) {
        char key[KEY_MAX];
        text t = {0};
        text_add(&t, "%s%s%s", prefix, *prefix ? "." : "", name);
        if (t.failed || t.len >= sizeof key) {
            out->failed = out->failed || t.failed;
            text_free(&t);
            continue;
        }
        memcpy(key, t.data, t.len + 1);
        text_free(&t);
        if (json_is_object(v) && depth < DEPTH_MAX)
            add_object(key, v, depth + 1, out);
        else
            add_line(key, v, out);
    }
}

static dfl_status print_info(const args *a, const char *json) {
    text out = {0};
    dfl_status status = DFL_OK;
    if (arg_given(a, "json") || arg_given(a, "card")) {
        text_add(&out, "%s\n", json);
    } else {
        json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
        if (!root) status = fail(DFL_E_INTERNAL, "the model's own description is no JSON");
        add_object("", root, 0, &out);
        json_decref(root);
    }
    if (status == DFL_OK && out.failed) status = fail_memory();
    if (status == DFL_OK)
        status = arg_given(a, "json") ? print_out(out.data) : print_page(out.data);
    text_free(&out);
    return status;
}

static dfl_status get_info(const void *model, char *buf, size_t cap, size_t *need) {
    return dfl_model_info(model, buf, cap, need);
}

/* Without a runtime the card is still worth showing. */
static dfl_status print_card(const args *a) {
    card c = {0};
    text out = {0};
    TRY(card_read(a->operand[0], &c));
    tell_warnings(c.warnings.data);
    dfl_status status = card_print(&c, &out);
    if (status == DFL_OK) status = print_info(a, out.data);
    text_free(&out);
    card_free(&c);
    return status;
}

/* The card of a folder needs no runtime. */
static int run_card(const args *a) {
    const dfl_status status =
        mixture_path(a->operand[0])
            ? fail(DFL_E_ARG, "--card is for folders; a mixture's card is made from its components")
            : print_card(a);
    return status == DFL_OK ? CODE_OK
                            : tell_failure(status, status == DFL_E_ARG ? CODE_USAGE : CODE_MODEL);
}

static int run_info(const args *a) {
    dfl_model *model = NULL;
    char *json = NULL;
    if (arg_given(a, "card")) return run_card(a);
    dfl_status status = dfl_model_open(a->operand[0], NULL, &model);
    if (status != DFL_OK) {
        const int code = tell_failure(status, CODE_MODEL);
        if (status == DFL_E_RUNTIME && !mixture_path(a->operand[0])) print_card(a);
        return code;
    }
    tell_warnings(model->card.warnings.data);
    status = fetch_text(get_info, model, &json);
    if (status == DFL_OK) status = print_info(a, json);
    free(json);
    dfl_model_free(model);
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_FAILURE);
}
