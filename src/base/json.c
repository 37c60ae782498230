/* JSON objects read key by key. Messages have one form: where: "key" what is wrong; what is needed.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *kind_name(const json_t *value) {
    static const struct {
        json_type type;
        const char *name;
    } names[] = {{JSON_OBJECT, "an object"}, {JSON_ARRAY, "an array"},
                 {JSON_STRING, "a text"},    {JSON_INTEGER, "a whole number"},
                 {JSON_REAL, "a number"},    {JSON_TRUE, "true"},
                 {JSON_FALSE, "false"},      {JSON_NULL, "null"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].type == json_typeof(value)) return names[i].name;
    return "unknown";
}

/* The member, or NULL after failing; `need` completes the sentence "... is needed". */
static const json_t *member(const json_in *in, const char *key, const char *need) {
    const json_t *value = json_object_get(in->object, key);
    if (!value) fail(DFL_E_KEY, "%s: key \"%s\" is missing; %s is needed", in->where, key, need);
    return value;
}

static dfl_status wrong_kind(const json_in *in, const char *key, const json_t *value,
                             const char *need) {
    return fail(DFL_E_FORMAT, "%s: \"%s\" is %s; %s is needed", in->where, key, kind_name(value),
                need);
}

/* Every value but the first has a comma, a colon or a bracket before it. */
static bool has_too_many(const char *data, size_t length) {
    size_t n = 1;
    for (size_t i = 0; i < length; i++)
        n += data[i] == ',' || data[i] == ':' || data[i] == '[' || data[i] == '{';
    return n > JSON_VALUES_MAX;
}

dfl_status json_open(const char *where, const char *data, size_t length, json_t **root,
                     json_in *in) {
    json_error_t error = {0}; /* jansson fills it only in part when memory runs out */
    *root = NULL;
    if (has_too_many(data, length))
        return fail(DFL_E_RANGE, "%s: more than %d values in one JSON text", where,
                    JSON_VALUES_MAX);
    *root = json_loadb(data, length, JSON_REJECT_DUPLICATES, &error);
    if (!*root) {
        /* Where its own memory ran out jansson says so, or has no place and no words. */
        if (json_error_code(&error) == json_error_out_of_memory || error.line < 0)
            return fail_memory();
        return fail(json_error_code(&error) == json_error_duplicate_key ? DFL_E_KEY : DFL_E_FORMAT,
                    "%s: not valid JSON, line %d, column %d: %s", where, error.line, error.column,
                    error.text);
    }
    if (!json_is_object(*root)) {
        const char *kind = kind_name(*root);
        json_decref(*root);
        *root = NULL;
        return fail(DFL_E_FORMAT, "%s: the text is %s; one JSON object is needed", where, kind);
    }
    in->object = *root;
    snprintf(in->where, sizeof in->where, "%s", where);
    return DFL_OK;
}

dfl_status json_read(const char *path, size_t limit, json_t **root, json_in *in) {
    char *data = NULL;
    size_t size;
    *root = NULL;
    TRY(file_read(path, limit, &data, &size));
    const dfl_status status = json_open(path, data, size, root, in);
    free(data);
    return status;
}

bool json_has(const json_in *in, const char *key) {
    return json_object_get(in->object, key) != NULL;
}

bool json_has_value(const json_in *in, const char *key) {
    return json_has(in, key) && !json_is_null(json_object_get(in->object, key));
}

dfl_status json_get_real(const json_in *in, const char *key, double *out) {
    const json_t *value = member(in, key, "a finite number");
    if (!value) return DFL_E_KEY;
    if (!json_is_number(value)) return wrong_kind(in, key, value, "a finite number");
    *out = json_number_value(value);
    if (!isfinite(*out))
        return fail(DFL_E_RANGE, "%s: \"%s\" is not finite; a finite number is needed", in->where,
                    key);
    return DFL_OK;
}

dfl_status json_get_int(const json_in *in, const char *key, long long lo, long long hi,
                        long long *out) {
    const json_t *value = member(in, key, "a whole number");
    if (!value) return DFL_E_KEY;
    if (!json_is_integer(value)) return wrong_kind(in, key, value, "a whole number");
    *out = json_integer_value(value);
    if (*out < lo || *out > hi)
        return fail(DFL_E_RANGE, "%s: \"%s\" is %lld; %lld to %lld is allowed", in->where, key,
                    *out, lo, hi);
    return DFL_OK;
}

dfl_status json_get_u64(const json_in *in, const char *key, uint64_t hi, uint64_t *out) {
    static const char need[] = "a whole number, as text of digits";
    const json_t *value = member(in, key, need);
    if (!value) return DFL_E_KEY;
    const bool number = json_is_integer(value) && json_integer_value(value) >= 0;
    if (number) *out = (uint64_t)json_integer_value(value);
    if (!number && !(json_is_string(value) && text_to_u64(json_string_value(value), out)))
        return wrong_kind(in, key, value, need);
    if (*out > hi)
        return fail(DFL_E_RANGE, "%s: \"%s\" is %llu; 0 to %llu is allowed", in->where, key,
                    (unsigned long long)*out, (unsigned long long)hi);
    return DFL_OK;
}

dfl_status json_get_text(const json_in *in, const char *key, const char **out) {
    const json_t *value = member(in, key, "a text");
    if (!value) return DFL_E_KEY;
    if (!json_is_string(value)) return wrong_kind(in, key, value, "a text");
    *out = json_string_value(value);
    return DFL_OK;
}

dfl_status json_check_format(const json_in *in, const char *format) {
    const char *given;
    TRY(json_get_text(in, "format", &given));
    if (strcmp(given, format) == 0) return DFL_OK;
    return fail(DFL_E_FORMAT, "%s: \"format\" is \"%.40s\"; this version reads %s", in->where,
                given, format);
}

/* Index of `word` in "a|b|c", or -1. */
static int choice_index(const char *choices, const char *word) {
    const size_t length = strlen(word);
    int index = 0;
    for (const char *p = choices;; p++, index++) {
        const size_t n = strcspn(p, "|");
        if (n == length && strncmp(p, word, n) == 0) return index;
        p += n;
        if (!*p) return -1;
    }
}

dfl_status json_get_choice(const json_in *in, const char *key, const char *choices, int *out) {
    const json_t *value = json_object_get(in->object, key);
    if (!value)
        return fail(DFL_E_KEY, "%s: key \"%s\" is missing; one of %s is needed", in->where, key,
                    choices);
    if (!json_is_string(value))
        return fail(DFL_E_FORMAT, "%s: \"%s\" is %s; one of %s is needed", in->where, key,
                    kind_name(value), choices);
    *out = choice_index(choices, json_string_value(value));
    if (*out < 0)
        return fail(DFL_E_RANGE, "%s: \"%s\" is \"%s\"; one of %s is needed", in->where, key,
                    json_string_value(value), choices);
    return DFL_OK;
}

dfl_status json_get_object(const json_in *in, const char *key, json_in *out) {
    const json_t *value = member(in, key, "an object");
    if (!value) return DFL_E_KEY;
    if (!json_is_object(value)) return wrong_kind(in, key, value, "an object");
    out->object = value;
    /* Too long a path is cut: it only serves messages. */
    snprintf(out->where, sizeof out->where, "%.*s, %s", JSON_WHERE - 40, in->where, key);
    return DFL_OK;
}

dfl_status json_get_array(const json_in *in, const char *key, const json_t **out) {
    const json_t *value = member(in, key, "an array");
    if (!value) return DFL_E_KEY;
    if (!json_is_array(value)) return wrong_kind(in, key, value, "an array");
    *out = value;
    return DFL_OK;
}

static dfl_status read_numbers(const json_in *in, const char *key, const json_t *list,
                               double *dst) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_number(item))
            return fail(DFL_E_FORMAT, "%s: \"%s\"[%zu] is %s; a finite number is needed", in->where,
                        key, i, kind_name(item));
        dst[i] = json_number_value(item);
        if (!isfinite(dst[i]))
            return fail(DFL_E_RANGE, "%s: \"%s\"[%zu] is not finite", in->where, key, i);
    }
    return DFL_OK;
}

dfl_status json_get_reals(const json_in *in, const char *key, size_t max, double **out, size_t *n) {
    const json_t *list = NULL;
    *out = NULL;
    TRY(json_get_array(in, key, &list));
    *n = json_array_size(list);
    if (*n < 1 || *n > max)
        return fail(DFL_E_RANGE, "%s: \"%s\" has %zu numbers; 1 to %zu are allowed", in->where, key,
                    *n, max);
    if (!(*out = mem_array(*n, sizeof **out))) return fail_memory();
    const dfl_status status = read_numbers(in, key, list, *out);
    if (status != DFL_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

dfl_status json_get_pair(const json_in *in, const char *key, size_t n, double *out) {
    const json_t *list = NULL;
    TRY(json_get_array(in, key, &list));
    if (json_array_size(list) != n)
        return fail(DFL_E_FORMAT, "%s: \"%s\" has %zu numbers; %zu are needed", in->where, key,
                    json_array_size(list), n);
    return read_numbers(in, key, list, out);
}

/* ---- unknown keys ---------------------------------------------------------------------------- */

enum { KNOWN_MAX = 80, KNOWN_TEXT = 1600 };

/* Splits "a|b|c" in place; returns how many there are. */
static size_t split_choices(char *words, const char **list) {
    size_t n = 0;
    for (char *p = words; p && n < KNOWN_MAX; n++) {
        list[n] = p;
        p = strchr(p, '|');
        if (p) *p++ = '\0';
    }
    return n;
}

void json_unknown(const json_in *in, const char *known, text *warnings) {
    char words[KNOWN_TEXT];
    const char *list[KNOWN_MAX];
    snprintf(words, sizeof words, "%s", known);
    const size_t n = split_choices(words, list);
    for (void *at = json_object_iter((json_t *)(uintptr_t)in->object); at;
         at = json_object_iter_next((json_t *)(uintptr_t)in->object, at)) {
        const char *key = json_object_iter_key(at);
        if (choice_index(known, key) >= 0) continue;
        const char *close = text_closest(key, list, n);
        text_add(warnings, "%s: unknown key ", in->where);
        json_add_text(warnings, key); /* a line end would begin a line that looks like ours */
        text_add(warnings, " is ignored");
        if (close) text_add(warnings, " (did you mean \"%s\"?)", close);
        text_add(warnings, "\n");
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

void json_put(json_builder *b, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) != 0) b->bad = true;
}

void json_push(json_builder *b, json_t *list, json_t *value) {
    if (json_array_append_new(list, value) != 0) b->bad = true;
}

json_t *json_digits(uint64_t n) {
    return json_sprintf("%llu", (unsigned long long)n);
}

void json_add_real(text *out, double x) {
    if (isfinite(x))
        text_real(out, x);
    else
        text_add(out, "null");
}

void json_add_next_real(text *out, const char *key, double x) {
    text_add(out, ", \"%s\": ", key);
    json_add_real(out, x);
}

void json_add_text(text *out, const char *s) {
    text_add(out, "\"");
    while (*s) {
        size_t plain = 0; /* a run of bytes that stand for themselves */
        while ((unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\') plain++;
        text_add(out, "%.*s", (int)plain, s);
        s += plain;
        if (*s == '"' || *s == '\\')
            text_add(out, "\\%c", *s++);
        else if (*s)
            text_add(out, "\\u%04x", (unsigned)(unsigned char)*s++);
    }
    text_add(out, "\"");
}

static int add_piece(const char *piece, size_t size, void *user) {
    text *const out = user;
    text_add(out, "%.*s", (int)size, piece);
    return out->failed ? -1 : 0;
}

void json_add(text *out, const json_t *value, size_t indent) {
    const size_t flags = JSON_INDENT(indent) | JSON_REAL_PRECISION(17);
    if (json_dump_callback(value, add_piece, out, flags) != 0) out->failed = true;
}
