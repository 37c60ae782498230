/* Model cards: model.json read, checked and kept. A card is untrusted input; every refusal names
   the key and what is allowed. docs/model-card.md is the description for people. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "model/card_text.h"
#include "model/diffusers.h"

enum { CARD_BYTES_MAX = 1 << 20, CLASSES_MAX = 1 << 20 };
enum { SAMPLE_MAX = 1 << 30 }; /* numbers in one sample */

static const char card_format[] = "driftless-model/1";

/* ---- small readers --------------------------------------------------------------------------- */

/* Copies an optional text; an absent key leaves NULL. */
static dfl_status optional_text(const json_in *in, const char *key, char **out) {
    const char *value;
    if (!json_has(in, key)) return DFL_OK;
    TRY(json_get_text(in, key, &value));
    if (!(*out = text_copy(value))) return fail_memory();
    return DFL_OK;
}

static dfl_status optional_real(const json_in *in, const char *key, double *inout) {
    return json_has(in, key) ? json_get_real(in, key, inout) : DFL_OK;
}

/* ---- the parts of a card --------------------------------------------------------------------- */

static dfl_status read_names(const json_in *in, card *c) {
    const json_t *list;
    TRY(json_get_array(in, "names", &list));
    if ((int64_t)json_array_size(list) != c->classes)
        return fail(DFL_E_COMBINATION, "%s: \"names\" has %zu entries, but \"count\" is %lld",
                    in->where, json_array_size(list), (long long)c->classes);
    c->class_names = mem_array((size_t)c->classes, sizeof *c->class_names);
    if (!c->class_names) return fail_memory();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name) return fail(DFL_E_FORMAT, "%s: \"names\"[%zu] is not a text", in->where, i);
        if (!(c->class_names[i] = text_copy(name))) return fail_memory();
    }
    return DFL_OK;
}

static dfl_status read_classes(const json_in *top, card *c) {
    json_in in;
    long long number;
    c->null_class = -1;
    if (!json_has_value(top, "classes")) return DFL_OK;
    TRY(json_get_object(top, "classes", &in));
    TRY(json_get_int(&in, "count", 1, CLASSES_MAX, &number));
    c->classes = number;
    if (json_has_value(&in, "null")) {
        TRY(json_get_int(&in, "null", 0, c->classes, &number));
        c->null_class = number;
    }
    if (json_has(&in, "names")) TRY(read_names(&in, c));
    json_unknown(&in, "count|null|names", &c->warnings);
    return DFL_OK;
}

static dfl_status read_shape(const json_in *in, card *c) {
    const json_t *list;
    size_t total = 1;
    TRY(json_get_array(in, "shape", &list));
    if (json_array_size(list) < 1 || json_array_size(list) > CARD_RANK_MAX)
        return fail(DFL_E_RANGE, "%s: \"shape\" has %zu dimensions; 1 to %d are allowed", in->where,
                    json_array_size(list), CARD_RANK_MAX);
    c->rank = (int)json_array_size(list);
    for (int i = 0; i < c->rank; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        const json_int_t size = json_integer_value(item);
        if (!json_is_integer(item))
            return fail(DFL_E_FORMAT, "%s: \"shape\"[%d] is not a whole number", in->where, i);
        if (size < 1 || size > SAMPLE_MAX)
            return fail(DFL_E_RANGE, "%s: \"shape\"[%d] is %lld; 1 to %d is allowed", in->where, i,
                        (long long)size, SAMPLE_MAX);
        c->shape[i] = (size_t)size;
        total = mem_product(total, (size_t)size, 1);
        if (total > SAMPLE_MAX)
            return fail(DFL_E_RANGE, "%s: \"shape\" has more than %d numbers in all", in->where,
                        SAMPLE_MAX);
    }
    return DFL_OK;
}

static dfl_status read_sample(const json_in *top, card *c) {
    json_in in;
    TRY(json_get_object(top, "sample", &in));
    TRY(read_shape(&in, c));
    c->range[0] = -1;
    c->range[1] = 1;
    if (json_has(&in, "range")) TRY(json_get_pair(&in, "range", 2, c->range));
    if (!(c->range[0] < c->range[1]))
        return fail(DFL_E_RANGE, "%s: \"range\" is [%g, %g]; the first must be the smaller one",
                    in.where, c->range[0], c->range[1]);
    json_unknown(&in, "shape|range", &c->warnings);
    return DFL_OK;
}

static dfl_status check_time_map(const json_in *in, card *c) {
    const bool whole = c->form.time_dtype == NET_INT32 || c->form.time_dtype == NET_INT64;
    if (c->form.map == TIME_LINEAR) {
        if (c->form.scale == 0)
            return fail(DFL_E_RANGE, "%s: \"scale\" is 0; any other number is allowed", in->where);
        return DFL_OK;
    }
    if (json_has(in, "scale") || json_has(in, "offset"))
        return fail(DFL_E_COMBINATION,
                    "%s: \"scale\" and \"offset\" belong to type \"linear\" only", in->where);
    if (whole)
        return fail(DFL_E_COMBINATION,
                    "%s: \"dtype\" is an integer, but only type \"linear\" gives whole numbers; "
                    "float32, float64 or float16 is needed",
                    in->where);
    return DFL_OK;
}

/* A network's card must say how it wants its time; a function of the caller's may take t itself. */
static dfl_status read_time_map(const json_in *top, card *c, bool required) {
    json_in in;
    int choice = 0;
    long long rank = 1;
    c->form.scale = 1;
    c->time_rank = 1;
    if (!required && !json_has(top, "time_map")) return DFL_OK;
    TRY(json_get_object(top, "time_map", &in));
    TRY(json_get_choice(&in, "type", netform_time_maps, &choice));
    c->form.map = (time_map)choice;
    TRY(optional_real(&in, "scale", &c->form.scale));
    TRY(optional_real(&in, "offset", &c->form.offset));
    choice = NET_FLOAT32;
    if (json_has(&in, "dtype")) TRY(json_get_choice(&in, "dtype", netform_dtypes, &choice));
    c->form.time_dtype = (net_dtype)choice;
    if (json_has(&in, "rank")) TRY(json_get_int(&in, "rank", 0, 1, &rank));
    c->time_rank = (int)rank;
    json_unknown(&in, "type|scale|offset|dtype|rank", &c->warnings);
    return check_time_map(&in, c);
}

static dfl_status read_edm(const json_in *in, card *c) {
    int choice;
    TRY(json_get_choice(in, "type", netform_preconds, &choice));
    c->form.precond = (preconditioning)choice;
    json_unknown(in, "type|sigma_data", &c->warnings);
    if (c->form.precond == PRECOND_NONE) return DFL_OK;
    TRY(json_get_real(in, "sigma_data", &c->form.sigma_data));
    if (c->form.sigma_data <= 0)
        return fail(DFL_E_RANGE, "%s: \"sigma_data\" is %g; a positive number is needed", in->where,
                    c->form.sigma_data);
    return DFL_OK;
}

static dfl_status read_prediction(const json_in *top, card *c) {
    json_in in;
    int choice;
    TRY(json_get_choice(top, "prediction_type", netform_predictions, &choice));
    c->form.predicts = (prediction)choice;
    if (!json_has(top, "preconditioning")) return DFL_OK;
    const json_t *value = json_object_get(top->object, "preconditioning");
    if (json_is_string(value)) {
        if (strcmp(json_string_value(value), "none") == 0) return DFL_OK;
        return fail(DFL_E_RANGE,
                    "%s: \"preconditioning\" is \"%s\"; \"none\" or {\"type\": \"edm\", "
                    "\"sigma_data\": ...} is needed",
                    top->where, json_string_value(value));
    }
    TRY(json_get_object(top, "preconditioning", &in));
    TRY(read_edm(&in, c));
    if (c->form.precond == PRECOND_EDM && c->form.predicts != PRED_SAMPLE)
        return fail(DFL_E_COMBINATION,
                    "%s: \"preconditioning\" edm goes with \"prediction_type\" \"sample\" only "
                    "(the preconditioned network predicts x_0)",
                    top->where);
    return DFL_OK;
}

/* Phase space: the network's state has a momentum, too, and its output may be about one half. */
static dfl_status read_state(const json_in *top, card *c) {
    long long components = 1;
    int half = NET_BOTH, matching = MATCH_HYBRID;
    if (json_has(top, "state_components"))
        TRY(json_get_int(top, "state_components", 1, 2, &components));
    if (json_has(top, "output_half"))
        TRY(json_get_choice(top, "output_half", netform_halves, &half));
    if (json_has(top, "score_matching"))
        TRY(json_get_choice(top, "score_matching", netform_matchings, &matching));
    c->components = (int)components;
    c->form.half = (net_half)half;
    c->form.matching = (score_matching)matching;
    if (components == 2 || (half == NET_BOTH && matching == MATCH_HYBRID)) return DFL_OK;
    return fail(DFL_E_COMBINATION, "%s: \"%s\" is for networks with \"state_components\": 2",
                top->where, half == NET_BOTH ? "score_matching" : "output_half");
}

static dfl_status check_time(const json_in *in, const char *key, double t) {
    if (t > 0 && t <= 1) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: \"%s\" is %g; library time is above 0 and at most 1", in->where,
                key, t);
}

static dfl_status read_times(const json_in *in, card *c, bool required) {
    c->t_min = 1e-3;
    c->t_max = 1;
    if (required || json_has(in, "t_min")) TRY(json_get_real(in, "t_min", &c->t_min));
    if (required || json_has(in, "t_max")) TRY(json_get_real(in, "t_max", &c->t_max));
    TRY(check_time(in, "t_min", c->t_min));
    TRY(check_time(in, "t_max", c->t_max));
    if (c->t_min >= c->t_max)
        return fail(DFL_E_COMBINATION,
                    "%s: \"t_min\" is %g and \"t_max\" %g; t_min must be smaller", in->where,
                    c->t_min, c->t_max);
    return DFL_OK;
}

static dfl_status read_moments(const json_in *top, card *c) {
    json_in in;
    if (!json_has(top, "moments")) return DFL_OK;
    TRY(json_get_object(top, "moments", &in));
    TRY(json_get_real(&in, "mean", &c->mean));
    TRY(json_get_real(&in, "std", &c->std));
    if (c->std <= 0)
        return fail(DFL_E_RANGE, "%s: \"std\" is %g; a positive number is needed", in.where,
                    c->std);
    json_unknown(&in, "mean|std", &c->warnings);
    c->has_moments = true;
    return DFL_OK;
}

/* ---- the network ----------------------------------------------------------------------------- */

static dfl_status read_digest(const json_in *in, card *c) {
    const char *hex;
    if (!json_has(in, "sha256")) return DFL_OK;
    TRY(json_get_text(in, "sha256", &hex));
    if (strlen(hex) != DIGEST_HEX - 1 || strspn(hex, "0123456789abcdefABCDEF") != DIGEST_HEX - 1)
        return fail(DFL_E_FORMAT, "%s: \"sha256\" is not 64 hexadecimal digits", in->where);
    for (int i = 0; i < DIGEST_HEX; i++)
        c->sha256[i] = (char)(hex[i] >= 'A' && hex[i] <= 'F' ? hex[i] + ('a' - 'A') : hex[i]);
    return DFL_OK;
}

static dfl_status read_graph_names(const json_in *net, card *c) {
    json_in in;
    TRY(optional_text(net, "output", &c->output));
    if (!json_has(net, "inputs")) return DFL_OK;
    TRY(json_get_object(net, "inputs", &in));
    TRY(optional_text(&in, "sample", &c->input_sample));
    TRY(optional_text(&in, "time", &c->input_time));
    TRY(optional_text(&in, "class", &c->input_class));
    if (c->derivative) TRY(optional_text(&in, "tangent", &c->input_tangent));
    json_unknown(&in, c->derivative ? "sample|time|class|tangent" : "sample|time|class",
                 &c->warnings);
    if (c->input_class && c->classes == 0)
        return fail(DFL_E_COMBINATION,
                    "%s: \"class\" names an input, but the card has no \"classes\"", in.where);
    return DFL_OK;
}

static dfl_status read_graph(const json_in *in, const char *folder, card *c) {
    const char *file;
    TRY(json_get_text(in, "file", &file));
    const dfl_status status = file_inside(folder, file, &c->network_file);
    if (status != DFL_OK) return fail_in(status, "%s: \"file\"", in->where);
    TRY(read_digest(in, c));
    return read_graph_names(in, c);
}

static dfl_status read_network(const json_in *top, card *c) {
    json_in in;
    TRY(json_get_object(top, "network", &in));
    TRY(read_graph(&in, c->folder, c));
    json_unknown(&in, "file|sha256|inputs|output", &c->warnings);
    return DFL_OK;
}

/* What the graph is fed is what the network is fed; only the classes may be its own. */
static dfl_status read_classifier(const json_in *top, card *c) {
    json_in in;
    TRY(json_get_object(top, "classifier", &in));
    card *own = c->classifier = mem_array(1, sizeof *own);
    if (!own) return fail_memory();
    *own = (card){.form = c->form,
                  .time_rank = c->time_rank,
                  .components = c->components,
                  .rank = c->rank,
                  .classes = c->classes,
                  .null_class = -1};
    memcpy(own->shape, c->shape, sizeof own->shape);
    own->form.half = NET_BOTH;
    if (c->classes == 0) TRY(read_classes(&in, own));
    if (c->classes > 0 && json_has(&in, "classes"))
        return fail(DFL_E_COMBINATION,
                    "%s: \"classes\" is for a network without classes; the card's hold here, too",
                    in.where);
    if (own->classes == 0)
        return fail(DFL_E_COMBINATION,
                    "%s: neither it nor the card has \"classes\"; one of them must", in.where);
    if (own->null_class >= 0)
        return fail(DFL_E_COMBINATION, "%s: \"classes\" has a null class; a classifier knows none",
                    in.where);
    TRY(read_graph(&in, c->folder, own));
    json_unknown(&in, "file|sha256|inputs|output|classes", &c->warnings);
    return DFL_OK;
}

/* The network once more, with a tangent of its sample for one more input. */
static dfl_status read_jvp(const json_in *top, card *c) {
    json_in in;
    TRY(json_get_object(top, "jvp", &in));
    card *own = c->jvp = mem_array(1, sizeof *own);
    if (!own) return fail_memory();
    *own = (card){.form = c->form,
                  .time_rank = c->time_rank,
                  .components = c->components,
                  .rank = c->rank,
                  .classes = c->classes,
                  .null_class = c->null_class};
    memcpy(own->shape, c->shape, sizeof own->shape);
    if (c->components != 1)
        return fail(DFL_E_COMBINATION, "%s: \"jvp\" is for networks of one component", top->where);
    TRY(optional_text(&in, "derivative", &own->derivative));
    if (!own->derivative && !(own->derivative = text_copy("jvp"))) return fail_memory();
    TRY(read_graph(&in, c->folder, own));
    if (!own->input_tangent && !(own->input_tangent = text_copy("tangent"))) return fail_memory();
    json_unknown(&in, "file|sha256|inputs|output|derivative", &c->warnings);
    return DFL_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static dfl_status read_top(const json_in *in, card *c) {
    const bool network = c->folder != NULL;
    TRY(json_check_format(in, card_format));
    TRY(optional_text(in, "name", &c->name));
    TRY(optional_text(in, "license", &c->license));
    TRY(optional_text(in, "data", &c->data));
    TRY(optional_text(in, "training", &c->training));
    TRY(optional_text(in, "sampler", &c->sampler));
    TRY(optional_text(in, "sampler_differs", &c->sampler_differs));
    TRY(card_process_text(in, &c->process));
    TRY(read_prediction(in, c));
    TRY(read_state(in, c));
    TRY(read_time_map(in, c, network));
    TRY(read_times(in, c, network));
    TRY(read_sample(in, c));
    TRY(read_classes(in, c));
    TRY(read_moments(in, c));
    if (network) TRY(read_network(in, c));
    if (network && json_has(in, "classifier")) TRY(read_classifier(in, c));
    if (network && json_has(in, "jvp")) TRY(read_jvp(in, c));
    static const char *const graphs[] = {"network", "classifier", "jvp"};
    for (size_t i = 0; !network && i < sizeof graphs / sizeof *graphs; i++)
        if (json_has(in, graphs[i]))
            return fail(DFL_E_COMBINATION,
                        "%s: \"%s\" is for the card of a model folder; it is not allowed here",
                        in->where, graphs[i]);
    json_unknown(
        in,
        "format|name|network|classifier|jvp|process|prediction_type|state_components|output_half|"
        "score_matching|time_map|preconditioning|t_min|t_max|"
        "sample|classes|moments|license|data|training|sampler|sampler_differs",
        &c->warnings);
    return c->warnings.failed ? fail_memory() : DFL_OK;
}

static dfl_status parse_text(const char *where, const char *json, size_t length, card *c) {
    json_in in;
    json_t *root;
    if (length > CARD_BYTES_MAX)
        return fail(DFL_E_FORMAT, "%s: the card has %zu bytes; at most %d are allowed", where,
                    length, CARD_BYTES_MAX);
    TRY(json_open(where, json, length, &root, &in));
    const dfl_status status = read_top(&in, c);
    json_decref(root);
    return status;
}

dfl_status card_parse(const char *where, const char *json, size_t length, card *out) {
    *out = (card){.null_class = -1};
    const dfl_status status = parse_text(where, json, length, out);
    if (status != DFL_OK) card_free(out);
    return status;
}

/* The text of the folder's card: its own, or one made of what diffusers left there. */
static dfl_status find_card(const char *folder, const char *path, text *out, card *c) {
    char *json;
    size_t length;
    bool foreign = false;
    if (access(path, F_OK) != 0) TRY(diffusers_is_folder(folder, &foreign));
    if (foreign) return diffusers_card(folder, out, &c->warnings);
    TRY(file_read_inside(folder, "model.json", CARD_BYTES_MAX, &json, &length));
    *out = (text){.data = json, .len = length, .cap = length + 1};
    return DFL_OK;
}

dfl_status card_read(const char *folder, card *out) {
    text path = {0}, json = {0};
    dfl_status status;
    *out = (card){.null_class = -1};
    text_add(&path, "%s/model.json", folder);
    out->folder = text_copy(folder);
    if (path.failed || !out->folder) {
        status = fail_memory();
        goto done;
    }
    TRY_GOTO(find_card(folder, path.data, &json, out), done);
    TRY_GOTO(parse_text(path.data, json.data, json.len, out), done);
done:
    text_free(&json);
    text_free(&path);
    if (status != DFL_OK) card_free(out);
    return status;
}

static dfl_status read_part(const char *folder, bool jvp, card *out) {
    card whole;
    *out = (card){.null_class = -1};
    TRY(card_read(folder, &whole));
    card **const place = jvp ? &whole.jvp : &whole.classifier, *const own = *place;
    *place = NULL;
    card_free(&whole);
    if (!own)
        return fail(DFL_E_COMBINATION, "%s/model.json has no \"%s\"", folder,
                    jvp ? "jvp" : "classifier");
    *out = *own;
    free(own);
    return DFL_OK;
}

dfl_status card_read_classifier(const char *folder, card *out) {
    return read_part(folder, false, out);
}

dfl_status card_read_jvp(const char *folder, card *out) {
    return read_part(folder, true, out);
}

dfl_status card_check_labels(const card *c, const int64_t *labels, size_t count) {
    if (labels && !c->classes)
        return fail(DFL_E_COMBINATION, "labels are given, but the model has no classes");
    for (size_t i = 0; labels && i < count; i++) {
        const bool known = labels[i] >= 0 && labels[i] < c->classes;
        if (!known && !(c->null_class >= 0 && labels[i] == c->null_class))
            return fail(DFL_E_RANGE, "label %lld of sample %zu: the model has classes 0 to %lld%s",
                        (long long)labels[i], i, (long long)c->classes - 1,
                        c->null_class >= 0 ? " and a null class" : "");
    }
    return DFL_OK;
}

void card_free(card *c) {
    char *const owned[] = {c->name,
                           c->license,
                           c->data,
                           c->training,
                           c->folder,
                           c->network_file,
                           c->process,
                           c->input_sample,
                           c->input_time,
                           c->input_class,
                           c->output,
                           c->sampler,
                           c->sampler_differs,
                           c->input_tangent,
                           c->derivative};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    for (int64_t i = 0; c->class_names && i < c->classes; i++) free(c->class_names[i]);
    free(c->class_names);
    if (c->classifier) card_free(c->classifier);
    free(c->classifier);
    if (c->jvp) card_free(c->jvp);
    free(c->jvp);
    text_free(&c->warnings);
    *c = (card){.null_class = -1};
}

size_t card_dim(const card *c) {
    size_t dim = 1;
    for (int i = 0; i < c->rank; i++) dim *= c->shape[i];
    return dim;
}

int card_output_components(const card *c) {
    return c->components == 2 && c->form.half == NET_BOTH ? 2 : 1;
}
