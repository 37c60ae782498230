/* prior.json, read and checked; every refusal names the key and what is allowed. Keys that are not
   ours (process, license, training, ...) are for people: a and b say what it is a density of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "prior/flow.h"

enum { CARD_BYTES_MAX = 1 << 20 };

static dfl_status copy_text(const json_in *in, const char *key, char **out) {
    const char *value;
    TRY(json_get_text(in, key, &value));
    if (!*value) return fail(DFL_E_FORMAT, "%s: \"%s\" is empty", in->where, key);
    *out = text_copy(value);
    return *out ? DFL_OK : fail_memory();
}

static dfl_status read_network(const json_in *top, const char *key, flow_network *n) {
    json_in in;
    const char *sha256;
    TRY(json_get_object(top, key, &in));
    TRY(copy_text(&in, "file", &n->file));
    TRY(copy_text(&in, "input", &n->input));
    TRY(copy_text(&in, "output", &n->output));
    TRY(json_get_text(&in, "sha256", &sha256));
    if (strlen(sha256) != DIGEST_HEX - 1 || strspn(sha256, "0123456789abcdef") != DIGEST_HEX - 1)
        return fail(DFL_E_FORMAT, "%s: \"sha256\" is not 64 hexadecimal digits", in.where);
    memcpy(n->sha256, sha256, DIGEST_HEX);
    return DFL_OK;
}

static dfl_status read_shape(const json_in *in, flow_card *c) {
    const json_t *list;
    TRY(json_get_array(in, "shape", &list));
    const size_t rank = json_array_size(list);
    if (rank < 1 || rank > FLOW_RANK_MAX)
        return fail(DFL_E_RANGE, "%s: \"shape\" has %zu dimensions; 1 to %d are possible",
                    in->where, rank, FLOW_RANK_MAX);
    c->rank = (int)rank;
    c->d = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_int_t size = json_integer_value(json_array_get(list, i));
        if (size < 1 || size > PRIOR_DIM_MAX)
            return fail(DFL_E_RANGE, "%s: \"shape\" is a list of whole numbers from 1 to %d",
                        in->where, PRIOR_DIM_MAX);
        c->shape[i] = (size_t)size;
        c->d = mem_product(c->d, c->shape[i], 1);
    }
    if (c->d <= PRIOR_DIM_MAX) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: \"shape\" has %zu numbers in all; at most %d are possible",
                in->where, c->d, PRIOR_DIM_MAX);
}

static dfl_status read_sample(const json_in *top, flow_card *c) {
    json_in in;
    TRY(json_get_object(top, "sample", &in));
    TRY(read_shape(&in, c));
    if (!json_has_value(&in, "range")) return DFL_OK;
    TRY(json_get_pair(&in, "range", 2, c->range));
    c->has_range = true;
    if (c->range[0] < c->range[1]) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: \"range\" is [%g, %g]; the first must be the smaller one",
                in.where, c->range[0], c->range[1]);
}

static dfl_status read_state(const json_in *top, flow_card *c) {
    json_in in;
    TRY(json_get_object(top, "state", &in));
    TRY(json_get_real(&in, "t", &c->t));
    TRY(json_get_real(&in, "a", &c->a));
    TRY(json_get_real(&in, "b", &c->b));
    if (!(c->t > 0 && c->t <= 1))
        return fail(DFL_E_RANGE, "%s: \"t\" is %g; above 0 and at most 1 is possible", in.where,
                    c->t);
    if (c->a > 0 && c->b > 0) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: a=%g, b=%g; both must be above 0", in.where, c->a, c->b);
}

static dfl_status read_gate(const json_in *top, flow_card *c) {
    json_in in;
    c->gate = (gate_row){c->a, c->b, 0, 0};
    TRY(json_get_object(top, "gate", &in));
    TRY(json_get_real(&in, "gain", &c->gate.gain));
    TRY(json_get_real(&in, "error", &c->gate.error));
    if (c->gate.error >= 0) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: \"error\" is %g; a standard error is not below 0", in.where,
                c->gate.error);
}

static dfl_status read_top(const json_in *top, flow_card *c) {
    TRY(json_check_format(top, "driftless-flow-prior/1"));
    TRY(copy_text(top, "name", &c->name));
    TRY(read_sample(top, c));
    TRY(read_state(top, c));
    TRY(read_network(top, "sampler", &c->sampler));
    TRY(read_network(top, "density", &c->density));
    return read_gate(top, c);
}

dfl_status flow_card_parse(const char *where, const char *json, size_t length, flow_card *out) {
    json_in in;
    json_t *root;
    *out = (flow_card){0};
    TRY(json_open(where, json, length, &root, &in));
    const dfl_status status = read_top(&in, out);
    json_decref(root);
    if (status != DFL_OK) flow_card_free(out);
    return status;
}

/* The name in the card becomes a path. */
static dfl_status find_file(const char *folder, const char *where, const char *key,
                            flow_network *n) {
    char *path;
    const dfl_status status = file_inside(folder, n->file, &path);
    if (status != DFL_OK) return fail_in(status, "%s, %s", where, key);
    free(n->file);
    n->file = path;
    return DFL_OK;
}

dfl_status flow_card_read(const char *folder, flow_card *out) {
    text path = {0};
    char *json = NULL;
    size_t length;
    dfl_status status = DFL_OK;
    *out = (flow_card){0};
    text_add(&path, "%s/prior.json", folder);
    TRY_GOTO(path.failed ? fail_memory() : DFL_OK, done);
    TRY_GOTO(file_read_inside(folder, "prior.json", CARD_BYTES_MAX, &json, &length), done);
    TRY_GOTO(flow_card_parse(path.data, json, length, out), done);
    status = find_file(folder, path.data, "sampler", &out->sampler);
    if (status == DFL_OK) status = find_file(folder, path.data, "density", &out->density);
    if (status != DFL_OK) flow_card_free(out);
done:
    text_free(&path);
    free(json);
    return status;
}

void flow_card_free(flow_card *c) {
    char *const owned[] = {c->name,         c->sampler.file,  c->sampler.input, c->sampler.output,
                           c->density.file, c->density.input, c->density.output};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    *c = (flow_card){0};
}
