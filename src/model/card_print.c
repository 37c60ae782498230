/* Cards as text: the process as option text, and the whole card as JSON that reads back equal. */
#include "model/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/card_text.h"

/* ---- process --------------------------------------------------------------------------------- */

static const char name_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
static const char bare_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-/";

static bool is_name(const char *s) {
    return *s && s[strspn(s, name_letters)] == '\0';
}

/* Bare where it can be, else in the quotes that it does not contain itself. */
static dfl_status add_word(const json_in *in, const char *key, const char *word, text *out) {
    if (*word && word[strspn(word, bare_letters)] == '\0') {
        text_add(out, "%s", word);
        return DFL_OK;
    }
    const char *quote = !strchr(word, '\'') ? "'" : "\"";
    if (strchr(word, *quote))
        return fail(DFL_E_FORMAT, "%s: \"%s\" holds both kinds of quotes; one kind is allowed",
                    in->where, key);
    text_add(out, "%s%s%s", quote, word, quote);
    return DFL_OK;
}

static void add_number(const json_t *value, text *out) {
    if (json_is_integer(value))
        text_add(out, "%lld", (long long)json_integer_value(value));
    else
        text_real(out, json_real_value(value));
}

static dfl_status add_list(const json_in *in, const char *key, const json_t *list, text *out) {
    text_add(out, "[");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_number(item))
            return fail(DFL_E_FORMAT, "%s: \"%s\"[%zu] is not a number", in->where, key, i);
        if (i) text_add(out, ",");
        add_number(item, out);
    }
    text_add(out, "]");
    return DFL_OK;
}

static dfl_status add_value(const json_in *in, const char *key, const json_t *value, text *out) {
    switch (json_typeof(value)) {
    case JSON_INTEGER:
    case JSON_REAL: add_number(value, out); return DFL_OK;
    case JSON_TRUE:
    case JSON_FALSE: text_add(out, json_is_true(value) ? "1" : "0"); return DFL_OK;
    case JSON_STRING: return add_word(in, key, json_string_value(value), out);
    case JSON_ARRAY: return add_list(in, key, value, out);
    default:
        return fail(DFL_E_FORMAT,
                    "%s: \"%s\" must be a number, a text, true, false or a list of "
                    "numbers",
                    in->where, key);
    }
}

static dfl_status add_process(const json_in *in, text *out) {
    const char *type, *separator = ":";
    TRY(json_get_text(in, "type", &type));
    if (!is_name(type))
        return fail(DFL_E_RANGE, "%s: \"type\" is \"%s\"; letters, digits and _ are allowed",
                    in->where, type);
    text_add(out, "%s", type);
    json_t *const object = (json_t *)(uintptr_t)in->object; /* jansson's iterators want it so */
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, "type") == 0) continue;
        if (!is_name(key))
            return fail(DFL_E_KEY, "%s: key \"%s\"; letters, digits and _ are allowed", in->where,
                        key);
        text_add(out, "%s%s=", separator, key);
        TRY(add_value(in, key, json_object_iter_value(at), out));
        separator = ",";
    }
    return DFL_OK;
}

dfl_status card_process_text(const json_in *top, char **out) {
    const json_t *value = json_object_get(top->object, "process");
    text made = {0};
    json_in in;
    if (json_is_string(value)) {
        if (!*json_string_value(value))
            return fail(DFL_E_RANGE, "%s: \"process\" is empty; a process is needed", top->where);
        *out = text_copy(json_string_value(value));
        return *out ? DFL_OK : fail_memory();
    }
    TRY(json_get_object(top, "process", &in));
    const dfl_status status = add_process(&in, &made);
    if (status != DFL_OK || made.failed) {
        text_free(&made);
        return status != DFL_OK ? status : fail_memory();
    }
    *out = made.data;
    return DFL_OK;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void add_key(text *out, const char *key) {
    text_add(out, "\"%s\": ", key);
}

static void add_text(text *out, const char *key, const char *value) {
    if (!value) return;
    text_add(out, ", ");
    add_key(out, key);
    json_add_text(out, value);
}

static void add_real(text *out, const char *key, double value) {
    add_key(out, key);
    text_real(out, value);
}

static void add_choice(text *out, const char *key, const char *choices, int index) {
    add_key(out, key);
    text_add(out, "\"");
    text_add_choice(out, choices, index);
    text_add(out, "\"");
}

/* As a card names it: relative to its folder. */
static void add_file(text *out, const card *c, const char *folder) {
    char *root = folder ? realpath(*folder ? folder : ".", NULL) : NULL;
    if (folder && !root && errno == ENOMEM) out->failed = true;
    const size_t n = root ? strlen(root) : 0;
    const bool inside =
        n > 1 && strncmp(c->network_file, root, n) == 0 && c->network_file[n] == '/';
    json_add_text(out, c->network_file + (inside ? n + 1 : 0));
    free(root);
}

static void add_network(text *out, const card *c, const char *folder) {
    const char *separator = "";
    const struct {
        const char *key, *value;
    } inputs[] = {{"sample", c->input_sample}, {"time", c->input_time}, {"class", c->input_class}};
    add_file(out, c, folder);
    if (*c->sha256) add_text(out, "sha256", c->sha256);
    text_add(out, ", \"inputs\": {");
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (!inputs[i].value) continue;
        text_add(out, "%s\"%s\": ", separator, inputs[i].key);
        json_add_text(out, inputs[i].value);
        separator = ", ";
    }
    text_add(out, "}");
    add_text(out, "output", c->output);
}

static void add_form(text *out, const card *c) {
    text_add(out, ", ");
    add_choice(out, "prediction_type", netform_predictions, (int)c->form.predicts);
    if (c->components == 2) {
        text_add(out, ", \"state_components\": 2, ");
        add_choice(out, "output_half", netform_halves, (int)c->form.half);
        text_add(out, ", ");
        add_choice(out, "score_matching", netform_matchings, (int)c->form.matching);
    }
    text_add(out, ", \"time_map\": {");
    add_choice(out, "type", netform_time_maps, (int)c->form.map);
    if (c->form.map == TIME_LINEAR) {
        text_add(out, ", ");
        add_real(out, "scale", c->form.scale);
        text_add(out, ", ");
        add_real(out, "offset", c->form.offset);
    }
    text_add(out, ", ");
    add_choice(out, "dtype", netform_dtypes, (int)c->form.time_dtype);
    text_add(out, ", \"rank\": %d}", c->time_rank);
    if (c->form.precond == PRECOND_NONE) {
        text_add(out, ", \"preconditioning\": \"none\"");
        return;
    }
    text_add(out, ", \"preconditioning\": {\"type\": \"edm\", ");
    add_real(out, "sigma_data", c->form.sigma_data);
    text_add(out, "}");
}

static void add_sample(text *out, const card *c) {
    text_add(out, ", ");
    add_real(out, "t_min", c->t_min);
    text_add(out, ", ");
    add_real(out, "t_max", c->t_max);
    text_add(out, ", \"sample\": {\"shape\": [");
    for (int i = 0; i < c->rank; i++) text_add(out, "%s%zu", i ? ", " : "", c->shape[i]);
    text_add(out, "], \"range\": [");
    text_real(out, c->range[0]);
    text_add(out, ", ");
    text_real(out, c->range[1]);
    text_add(out, "]}");
}

static void add_classes(text *out, const card *c) {
    if (c->classes == 0) return;
    text_add(out, ", \"classes\": {\"count\": %lld", (long long)c->classes);
    if (c->null_class >= 0) text_add(out, ", \"null\": %lld", (long long)c->null_class);
    for (int64_t i = 0; c->class_names && i < c->classes; i++) {
        text_add(out, i ? ", " : ", \"names\": [");
        json_add_text(out, c->class_names[i]);
    }
    text_add(out, c->class_names ? "]}" : "}");
}

static void add_classifier(text *out, const card *c) {
    if (!c->classifier) return;
    text_add(out, ", \"classifier\": {\"file\": ");
    add_network(out, c->classifier, c->folder);
    if (c->classes == 0) add_classes(out, c->classifier);
    text_add(out, "}");
}

static void add_jvp(text *out, const card *c) {
    if (!c->jvp) return;
    text_add(out, ", \"jvp\": {\"file\": ");
    add_network(out, c->jvp, c->folder);
    add_text(out, "derivative", c->jvp->derivative);
    text_add(out, "}");
}

dfl_status card_print(const card *c, text *out) {
    text_add(out, "{\"format\": \"driftless-model/1\"");
    add_text(out, "name", c->name);
    if (c->network_file) {
        text_add(out, ", \"network\": {\"file\": ");
        add_network(out, c, c->folder);
        text_add(out, "}");
    }
    add_classifier(out, c);
    add_jvp(out, c);
    add_text(out, "process", c->process);
    add_form(out, c);
    add_sample(out, c);
    add_classes(out, c);
    if (c->has_moments) {
        text_add(out, ", \"moments\": {");
        add_real(out, "mean", c->mean);
        text_add(out, ", ");
        add_real(out, "std", c->std);
        text_add(out, "}");
    }
    add_text(out, "license", c->license);
    add_text(out, "data", c->data);
    add_text(out, "training", c->training);
    add_text(out, "sampler", c->sampler);
    add_text(out, "sampler_differs", c->sampler_differs);
    text_add(out, "}");
    return out->failed ? fail_memory() : DFL_OK;
}
