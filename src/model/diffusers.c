/* From a folder of diffusers to the text of a card: the scheduler says the process, the network's
   own file its inputs, and the network's configuration the shape of a sample. */
#include "model/diffusers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 1 << 22 };

static const char scheduler_file[] = "scheduler/scheduler_config.json";
static const char network_file[] = "unet/model.onnx";
static const char network_config[] = "unet/config.json";
static const char index_file[] = "model_index.json";

static dfl_status is_there(const char *folder, const char *name, bool *yes) {
    text path = {0};
    text_add(&path, "%s/%s", folder, name);
    const dfl_status status = path.failed ? fail_memory() : DFL_OK;
    *yes = status == DFL_OK && access(path.data, F_OK) == 0;
    text_free(&path);
    return status;
}

dfl_status diffusers_is_folder(const char *folder, bool *yes) {
    return is_there(folder, scheduler_file, yes);
}

/* Reads a configuration of the folder; *root is NULL where there is none. */
static dfl_status read_json(const char *folder, const char *name, json_t **root, json_in *in) {
    char *path;
    bool there;
    *root = NULL;
    *in = (json_in){0};
    TRY(is_there(folder, name, &there));
    if (!there) return DFL_OK;
    TRY(file_inside(folder, name, &path));
    const dfl_status status = json_read(path, CONFIG_BYTES_MAX, root, in);
    free(path);
    return status;
}

/* ---- the network's file ------------------------------------------------------------------------ */

enum { FED = ROLE_CLASS + 1 }; /* roles of a network that was exported to sample from */

typedef struct {
    onnx_graph graph;
    const onnx_value *role[FED]; /* NULL: there is none */
    const char *output;
} network;

static const char *const input_names[FED] = {"sample", "timestep", "class_labels"};

static dfl_status find_inputs(const char *path, network *n) {
    for (size_t i = 0; i < n->graph.ninputs; i++) {
        const onnx_value *input = &n->graph.input[i];
        int role = 0;
        while (role < FED && strcmp(input->name, input_names[role]) != 0) role++;
        if (role == FED)
            return fail(DFL_E_COMBINATION,
                        "%s: the network has the input '%s', which driftless has nothing to feed; "
                        "networks with sample, timestep and class_labels are supported, those that "
                        "need a text or a picture are not",
                        path, input->name);
        n->role[role] = input;
    }
    for (int role = ROLE_SAMPLE; role <= ROLE_TIME; role++)
        if (!n->role[role])
            return fail(DFL_E_MODEL, "%s: the network has no input '%s'", path, input_names[role]);
    return DFL_OK;
}

static dfl_status find_output(const char *path, network *n) {
    static const char usual[] = "out_sample";
    for (size_t i = 0; i < n->graph.noutputs; i++)
        if (strcmp(n->graph.output[i].name, usual) == 0) n->output = usual;
    if (!n->output && n->graph.noutputs == 1) n->output = n->graph.output[0].name;
    if (n->output) return DFL_OK;
    return fail(DFL_E_MODEL, "%s: the network has %zu outputs, and none is called %s", path,
                n->graph.noutputs, usual);
}

static dfl_status read_network(const char *folder, network *n) {
    char *path = NULL;
    bool there;
    TRY(is_there(folder, network_file, &there));
    if (!there)
        return fail(DFL_E_IO, "%s: there is a scheduler's configuration, but no network %s", folder,
                    network_file);
    dfl_status status = file_inside(folder, network_file, &path);
    if (status == DFL_OK) status = onnx_read(path, &n->graph);
    if (status == DFL_OK) status = find_inputs(path, n);
    if (status == DFL_OK) status = find_output(path, n);
    free(path);
    return status;
}

/* ---- members of the card ----------------------------------------------------------------------- */

static void add_text(text *out, const char *before, const char *value) {
    text_add(out, "%s", before);
    json_add_text(out, value);
}

static void add_network(const network *n, text *out) {
    text_add(out,
             ", \"network\": {\"file\": \"%s\", \"inputs\": {\"sample\": \"sample\", "
             "\"time\": \"timestep\"%s}",
             network_file, n->role[ROLE_CLASS] ? ", \"class\": \"class_labels\"" : "");
    add_text(out, ", \"output\": ", n->output);
    text_add(out, "}");
}

/* optimum exports a scalar, other exporters [1] or [batch]; of these, [1] is opened as [batch] and
   then refused by the graph if it means it. */
static dfl_status add_time_map(const char *folder, const network *n, const text *head, text *out) {
    const net_port *port = &n->role[ROLE_TIME]->port;
    if (port->type < 0)
        return fail(DFL_E_MODEL,
                    "%s/%s: the input 'timestep' has no type that is supported; float32, float64, "
                    "float16, int32 or int64 is needed",
                    folder, network_file);
    text_add(out, ", \"time_map\": {%s, \"dtype\": \"", head->data);
    text_add_choice(out, netform_dtypes, port->type);
    text_add(out, "\", \"rank\": %d}", port->rank == 0 ? 0 : 1);
    return DFL_OK;
}

/* Dimension i of a sample: in_channels, then sample_size, a number or one for each dimension. */
static dfl_status config_size(const json_in *in, int i, long long *out) {
    const json_t *list = NULL;
    enum { SIZE_MAX_ = 1 << 24 };
    *out = 0;
    const char *key = i == 0 ? "in_channels" : "sample_size";
    if (!json_has_value(in, key)) return DFL_OK;
    if (i == 0 || !json_is_array(json_object_get(in->object, key)))
        return json_get_int(in, key, 1, SIZE_MAX_, out);
    TRY(json_get_array(in, key, &list));
    const json_t *size = json_array_get(list, (size_t)i - 1);
    if (json_is_integer(size) && json_integer_value(size) >= 1 &&
        json_integer_value(size) <= SIZE_MAX_)
        *out = json_integer_value(size);
    return DFL_OK;
}

static dfl_status add_sample(const char *folder, const network *n, const json_in *in, text *out) {
    const net_port *port = &n->role[ROLE_SAMPLE]->port;
    const int rank = port->rank == PORT_UNKNOWN ? 4 : port->rank;
    if (rank < 2 || rank > CARD_RANK_MAX + 1)
        return fail(DFL_E_MODEL,
                    "%s/%s: the input 'sample' has rank %d; 2 to %d is allowed, the batch included",
                    folder, network_file, rank, CARD_RANK_MAX + 1);
    text_add(out, ", \"sample\": {\"shape\": [");
    for (int i = 0; i < rank - 1; i++) {
        long long size;
        TRY(config_size(in, i, &size));
        if (size == 0 && port->rank != PORT_UNKNOWN && port->dims[i + 1] > 0)
            size = port->dims[i + 1];
        if (size == 0)
            return fail(DFL_E_KEY,
                        "%s/%s: \"%s\" is missing, and the network leaves that size open; it is "
                        "needed",
                        folder, network_config, i == 0 ? "in_channels" : "sample_size");
        text_add(out, "%s%lld", i ? ", " : "", size);
    }
    text_add(out, "], \"range\": [-1, 1]}");
    return DFL_OK;
}

static dfl_status add_classes(const char *folder, const network *n, const json_in *in, text *out) {
    long long count;
    if (!n->role[ROLE_CLASS]) return DFL_OK;
    if (!json_has_value(in, "num_class_embeds"))
        return fail(DFL_E_KEY,
                    "%s/%s: the network takes class_labels, but \"num_class_embeds\" does not say "
                    "how many there are",
                    folder, network_config);
    TRY(json_get_int(in, "num_class_embeds", 1, 1 << 20, &count));
    text_add(out, ", \"classes\": {\"count\": %lld}", count);
    return DFL_OK;
}

/* ---- what else belongs to the model ------------------------------------------------------------ */

static void look_at_index(const json_in *in, text *warnings) {
    static const char *const decoders[] = {"vae", "vae_decoder", "vqvae", "movq"};
    for (size_t i = 0; in->object && i < sizeof decoders / sizeof *decoders; i++) {
        const json_t *part = json_object_get(in->object, decoders[i]);
        if (json_is_array(part) && json_is_string(json_array_get(part, 0)))
            text_add(warnings,
                     "%s: samples are what \"%s\" decodes into pictures; it is not run here\n",
                     in->where, decoders[i]);
    }
}

/* The folder's own name; "." and such have none. */
static void add_name(const char *folder, text *out) {
    size_t end = strlen(folder);
    while (end > 0 && folder[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && folder[begin - 1] != '/') begin--;
    text name = {0};
    text_add(&name, "%.*s", (int)(end - begin), folder + begin);
    if (name.failed) out->failed = true;
    if (name.len && strspn(name.data, ".") < name.len) add_text(out, ", \"name\": ", name.data);
    text_free(&name);
}

static dfl_status compose(const char *folder, const network *n, text *out, text *warnings) {
    text head = {0};
    char *path = NULL;
    json_t *config = NULL, *index = NULL;
    json_in in, about;
    dfl_status status;
    text_add(out, "{\"format\": \"driftless-model/1\"");
    add_name(folder, out);
    TRY_GOTO(file_inside(folder, scheduler_file, &path), done);
    TRY_GOTO(scheduler_read(path, out, &head, warnings), done);
    TRY_GOTO(add_time_map(folder, n, &head, out), done);
    TRY_GOTO(read_json(folder, network_config, &config, &in), done);
    TRY_GOTO(add_sample(folder, n, &in, out), done);
    TRY_GOTO(add_classes(folder, n, &in, out), done);
    TRY_GOTO(read_json(folder, index_file, &index, &about), done);
    look_at_index(&about, warnings);
    add_network(n, out);
    text_add(out, "}");
    if (out->failed || warnings->failed) status = fail_memory();
done:
    json_decref(config);
    json_decref(index);
    text_free(&head);
    free(path);
    return status;
}

dfl_status diffusers_card(const char *folder, text *out, text *warnings) {
    network *n = mem_array(1, sizeof *n);
    if (!n) return fail_memory();
    dfl_status status = read_network(folder, n);
    if (status == DFL_OK) status = compose(folder, n, out, warnings);
    free(n);
    return status;
}
