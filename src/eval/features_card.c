/* features.json, read and checked; every refusal names the key and what is allowed. Keys that are not
   ours (accuracy, license, training, ...) are for people. */
#include "eval/features_card.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "eval/pictures.h"

enum { CARD_BYTES_MAX = 1 << 20, CLASSES_MAX = 1 << 20 };

const char resize_words[] = "none|bilinear|bicubic";

static dfl_status copy_text(const json_in *in, const char *key, bool needed, char **out) {
    const char *value;
    if (!needed && !json_has_value(in, key)) return DFL_OK;
    TRY(json_get_text(in, key, &value));
    if (!*value) return fail(DFL_E_FORMAT, "%s: \"%s\" is empty", in->where, key);
    *out = text_copy(value);
    return *out ? DFL_OK : fail_memory();
}

static bool is_digest(const char *s) {
    return strlen(s) == DIGEST_HEX - 1 && strspn(s, "0123456789abcdef") == DIGEST_HEX - 1;
}

static dfl_status read_network(const json_in *top, features_card *c) {
    json_in in, names;
    const char *sha256;
    TRY(json_get_object(top, "network", &in));
    TRY(copy_text(&in, "file", true, &c->file));
    TRY(json_get_text(&in, "sha256", &sha256));
    if (!is_digest(sha256))
        return fail(DFL_E_FORMAT, "%s: \"sha256\" is not 64 hexadecimal digits", in.where);
    memcpy(c->sha256, sha256, DIGEST_HEX);
    TRY(json_get_object(&in, "inputs", &names));
    TRY(copy_text(&names, "images", true, &c->images));
    TRY(json_get_object(&in, "outputs", &names));
    TRY(copy_text(&names, "features", true, &c->features));
    return copy_text(&names, "logits", false, &c->logits);
}

static dfl_status read_shape(const json_in *in, features_card *c) {
    const json_t *list;
    TRY(json_get_array(in, "shape", &list));
    if (json_array_size(list) != 3)
        return fail(DFL_E_RANGE,
                    "%s: \"shape\" has %zu dimensions; channels, height and width are "
                    "needed",
                    in->where, json_array_size(list));
    for (size_t i = 0; i < 3; i++) {
        const json_int_t size = json_integer_value(json_array_get(list, i));
        const bool good = i == 0 ? size == 1 || size == 3 : size >= 1 && size <= PICTURE_SIDE_MAX;
        if (!good)
            return fail(DFL_E_RANGE,
                        "%s: \"shape\" is [channels, height, width] with 1 or 3 channels and 1 to "
                        "%d a side",
                        in->where, PICTURE_SIDE_MAX);
        c->shape[i] = (size_t)size;
    }
    return DFL_OK;
}

static dfl_status read_image(const json_in *top, features_card *c) {
    json_in in;
    TRY(json_get_object(top, "image", &in));
    TRY(read_shape(&in, c));
    TRY(json_get_pair(&in, "range", 2, c->range));
    if (c->range[0] < c->range[1]) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: \"range\" is [%g, %g]; the first must be the smaller one",
                in.where, c->range[0], c->range[1]);
}

static dfl_status read_resize(const json_in *top, features_card *c) {
    json_in in;
    int rule;
    if (!json_has_value(top, "resize")) return DFL_OK;
    TRY(json_get_object(top, "resize", &in));
    TRY(json_get_choice(&in, "type", resize_words, &rule));
    c->rule = (resize_rule)rule;
    return DFL_OK;
}

static dfl_status read_counts(const json_in *top, features_card *c) {
    json_in in;
    long long number;
    TRY(json_get_object(top, "features", &in));
    TRY(json_get_int(&in, "count", 1, FEATURES_MAX, &number));
    c->width = (size_t)number;
    TRY(copy_text(&in, "layer", false, &c->layer));
    if (!c->logits) return DFL_OK;
    TRY(json_get_object(top, "classes", &in));
    TRY(json_get_int(&in, "count", 2, CLASSES_MAX, &number));
    c->classes = (size_t)number;
    return DFL_OK;
}

static dfl_status read_top(const json_in *top, features_card *c) {
    TRY(json_check_format(top, "driftless-features/1"));
    TRY(copy_text(top, "name", true, &c->name));
    TRY(read_network(top, c));
    TRY(read_image(top, c));
    TRY(read_resize(top, c));
    return read_counts(top, c);
}

dfl_status features_card_parse(const char *where, const char *json, size_t length,
                               features_card *out) {
    json_in in;
    json_t *root;
    *out = (features_card){0};
    TRY(json_open(where, json, length, &root, &in));
    const dfl_status status = read_top(&in, out);
    json_decref(root);
    if (status != DFL_OK) features_card_free(out);
    return status;
}

dfl_status features_card_read(const char *folder, features_card *out) {
    text path = {0};
    char *json = NULL, *file = NULL;
    size_t length;
    dfl_status status = DFL_OK;
    *out = (features_card){0};
    text_add(&path, "%s/features.json", folder);
    TRY_GOTO(path.failed ? fail_memory() : DFL_OK, done);
    TRY_GOTO(file_read_inside(folder, "features.json", CARD_BYTES_MAX, &json, &length), done);
    TRY_GOTO(features_card_parse(path.data, json, length, out), done);
    status = file_inside(folder, out->file, &file);
    if (status != DFL_OK) {
        features_card_free(out);
        (void)fail_in(status, "%s, network", path.data);
        goto done;
    }
    free(out->file);
    out->file = file;
done:
    text_free(&path);
    free(json);
    return status;
}

void features_card_free(features_card *c) {
    char *const owned[] = {c->name, c->file, c->images, c->features, c->logits, c->layer};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    *c = (features_card){0};
}

dfl_status features_card_digest(const features_card *c, char hex[DIGEST_HEX]) {
    text t = {0};
    text_add(&t, "%s %s %zu %zu %zu %zu ", c->sha256, c->features, c->width, c->shape[0],
             c->shape[1], c->shape[2]);
    text_real(&t, c->range[0]);
    text_add(&t, " ");
    text_real(&t, c->range[1]);
    text_add(&t, " ");
    text_add_choice(&t, resize_words, (int)c->rule);
    if (!t.failed) digest_bytes(t.data, t.len, hex);
    const dfl_status status = t.failed ? fail_memory() : DFL_OK;
    text_free(&t);
    return status;
}
