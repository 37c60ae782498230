/* ONNX networks through OpenVINO's C API. The library is loaded at run time: driftless builds and
 * starts without it, and says how to get it when a network is opened.
 *
 * The graph is checked against the card (names, types, ranks, sizes), made static with `microbatch`
 * rows, and compiled for the CPU with the precision set explicitly (its default may be bfloat16).
 * Rows belong to micro-batches by absolute sample index: see model/pack.h. */
#include "model/model.h"

#ifndef DFL_HAVE_OPENVINO

dfl_status model_openvino(card *c, const opts *o, dfl_model **out) {
    (void)o;
    *out = NULL;
    card_free(c);
    return fail(DFL_E_RUNTIME,
                "this build of driftless has no OpenVINO, which ONNX networks need: install it "
                "(pip install openvino==2026.4.1) and build again with -DDFL_OPENVINO_ROOT=FOLDER");
}

#else

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/pack.h"
#include "model/port.h"
#include "model/runtime.h"

enum { MICROBATCH_MAX = 1 << 30 }; /* numbers in one call */

/* One input of the network: our buffer, and OpenVINO's view of it. */
typedef struct {
    char *name;
    net_port port;      /* static */
    void *block, *data; /* data: in block, aligned */
    ov_tensor_t *tensor;
} net_input;

typedef struct {
    dfl_model base;
    ov_api ov;
    ov_core_t *core;
    ov_model_t *graph;
    ov_compiled_model_t *compiled;
    ov_infer_request_t *request;
    ov_tensor_t *output, *derivative; /* the second of graphs with tangents only */
    net_input in[ROLES];
    int role[ROLES], roles; /* those the graph has, in order */
    char *output_name;
    size_t rows, dim;
    char *version, *precision, *threads, *cache;
    double read_seconds, compile_seconds;
} network;

static dfl_status ov_failed(const network *m, ov_status_e status, const char *what) {
    return runtime_failed(&m->ov, m->base.card.network_file, status, what);
}

/* Forwards a failure of OpenVINO; needs a variable m. */
#define TRY_OV(call, what)                                                                         \
    do {                                                                                           \
        const ov_status_e ov_status_ = (call);                                                     \
        if (ov_status_ != OK) return ov_failed(m, ov_status_, what);                               \
    } while (0)

/* ---- the graph against the card -------------------------------------------------------------- */

static const struct {
    ov_element_type_e type;
    net_dtype dtype;
} ov_types[] = {
    {F32, NET_FLOAT32}, {F64, NET_FLOAT64}, {F16, NET_FLOAT16}, {I32, NET_INT32}, {I64, NET_INT64}};
enum { OV_TYPES = sizeof ov_types / sizeof *ov_types };

static dfl_status read_port(const network *m, const ov_output_const_port_t *from, net_port *port) {
    ov_partial_shape_t shape;
    ov_element_type_e type;
    TRY_OV(m->ov.port_get_element_type(from, &type), "tell an element type");
    TRY_OV(m->ov.port_get_partial_shape(from, &shape), "tell a shape");
    port->type = PORT_OTHER;
    for (int i = 0; i < OV_TYPES; i++)
        if (ov_types[i].type == type) port->type = (int)ov_types[i].dtype;
    const bool known = shape.rank.min == shape.rank.max && shape.rank.max <= CARD_RANK_MAX + 1;
    port->rank = known ? (int)shape.rank.max : PORT_UNKNOWN;
    for (int i = 0; i < port->rank; i++) {
        const ov_dimension_t d = shape.dims[i];
        port->dims[i] = d.min == d.max ? d.min : PORT_UNKNOWN;
    }
    m->ov.partial_shape_free(&shape);
    return DFL_OK;
}

/* The name of a role: the card's, or that of the input at its place in the graph. */
static dfl_status name_input(const network *m, int role, char **out) {
    const card *const c = &m->base.card;
    const char *const given[] = {c->input_sample, c->input_time, c->input_class, c->input_tangent};
    ov_output_const_port_t *port = NULL;
    char *name = NULL;
    if (given[role]) {
        *out = text_copy(given[role]);
    } else {
        TRY_OV(m->ov.model_const_input_by_index(m->graph, (size_t)role, &port), "find an input");
        const ov_status_e status = m->ov.port_get_any_name(port, &name);
        m->ov.output_const_port_free(port);
        if (status != OK) return ov_failed(m, status, "name an input");
        *out = text_copy(name);
        m->ov.free(name);
    }
    return *out ? DFL_OK : fail_memory();
}

static dfl_status check_input(network *m, int role) {
    net_input *const in = &m->in[role];
    ov_output_const_port_t *port = NULL;
    net_port found;
    TRY(name_input(m, role, &in->name));
    for (int r = 0; r < role; r++)
        if (m->in[r].name && strcmp(m->in[r].name, in->name) == 0)
            return fail(DFL_E_MODEL,
                        "%s: the input '%s' is both %s and %s; the card must name "
                        "each (network, inputs)",
                        m->base.card.network_file, in->name, port_roles[r], port_roles[role]);
    if (m->ov.model_const_input_by_name(m->graph, in->name, &port) != OK)
        return fail(DFL_E_MODEL, "%s: there is no input '%s', which the card names for %s",
                    m->base.card.network_file, in->name, port_roles[role]);
    const dfl_status status = read_port(m, port, &found);
    m->ov.output_const_port_free(port);
    TRY(status);
    port_static(&m->base.card, role, m->rows, found.type, &in->port);
    return port_check_input(&m->base.card, role, in->name, &found);
}

static dfl_status check_inputs(network *m) {
    size_t count;
    const card *const c = &m->base.card;
    const bool has[ROLES] = {true, true, c->classes > 0, c->input_tangent != NULL};
    for (int role = 0; role < ROLES; role++)
        if (has[role]) m->role[m->roles++] = role;
    TRY_OV(m->ov.model_inputs_size(m->graph, &count), "count the inputs");
    if (count != (size_t)m->roles)
        return fail(DFL_E_MODEL,
                    "%s: the network has %zu inputs; by the card it has %d (sample, "
                    "time%s%s)",
                    c->network_file, count, m->roles, c->classes > 0 ? ", class" : "",
                    c->input_tangent ? ", tangent" : "");
    for (int i = 0; i < m->roles; i++) TRY(check_input(m, m->role[i]));
    return DFL_OK;
}

static dfl_status name_output(network *m, ov_output_const_port_t **port) {
    const char *const given = m->base.card.output;
    size_t count;
    char *name = NULL;
    if (given) {
        if (m->ov.model_const_output_by_name(m->graph, given, port) != OK)
            return fail(DFL_E_MODEL, "%s: there is no output '%s', which the card names",
                        m->base.card.network_file, given);
        m->output_name = text_copy(given);
        return m->output_name ? DFL_OK : fail_memory();
    }
    TRY_OV(m->ov.model_outputs_size(m->graph, &count), "count the outputs");
    if (count != 1)
        return fail(DFL_E_MODEL,
                    "%s: the network has %zu outputs; the card must name one (network, "
                    "output)",
                    m->base.card.network_file, count);
    TRY_OV(m->ov.model_const_output_by_index(m->graph, 0, port), "find the output");
    TRY_OV(m->ov.port_get_any_name(*port, &name), "name the output");
    m->output_name = text_copy(name);
    m->ov.free(name);
    return m->output_name ? DFL_OK : fail_memory();
}

/* ---- from file to a ready request ------------------------------------------------------------ */

/* All inputs at once: one by one, the graph would pass through shapes that do not fit together. A
   scalar stays as it is, for OpenVINO takes a shape of rank 0 here for an unknown one. */
static dfl_status make_static(network *m) {
    ov_partial_shape_t shapes[ROLES] = {0};
    const char *names[ROLES];
    ov_status_e status = OK;
    size_t n = 0;
    for (int i = 0; i < m->roles && status == OK; i++) {
        const net_input *const in = &m->in[m->role[i]];
        if (in->port.rank == 0) continue;
        names[n] = in->name;
        status = m->ov.partial_shape_create_static(in->port.rank, in->port.dims, &shapes[n++]);
    }
    if (status == OK) status = m->ov.model_reshape(m->graph, names, shapes, n);
    const dfl_status result =
        status == OK ? DFL_OK : ov_failed(m, status, "give the network a fixed micro-batch");
    while (n > 0) m->ov.partial_shape_free(&shapes[--n]);
    return result;
}

static dfl_status check_derivative(const network *m) {
    const card *const c = &m->base.card;
    ov_output_const_port_t *port = NULL;
    net_port found;
    if (!c->derivative) return DFL_OK;
    if (m->ov.model_const_output_by_name(m->graph, c->derivative, &port) != OK)
        return fail(DFL_E_MODEL, "%s: there is no output '%s', which the card names",
                    c->network_file, c->derivative);
    const dfl_status status = read_port(m, port, &found);
    m->ov.output_const_port_free(port);
    TRY(status);
    return port_check_output(c, m->rows, c->derivative, &found);
}

static dfl_status read_graph(network *m) {
    ov_output_const_port_t *port = NULL;
    net_port found;
    const double start = seconds_now();
    TRY_OV(m->ov.core_read_model(m->core, m->base.card.network_file, NULL, &m->graph),
           "read the network");
    TRY(check_inputs(m));
    TRY(make_static(m));
    dfl_status status = name_output(m, &port);
    if (status == DFL_OK) status = read_port(m, port, &found);
    if (port) m->ov.output_const_port_free(port);
    TRY(status);
    TRY(port_check_output(&m->base.card, m->rows, m->output_name, &found));
    m->read_seconds = seconds_now() - start;
    return check_derivative(m);
}

/* A folder for each precision: OpenVINO 2026.4.1 names what it keeps by the network alone, and what
   it kept for f32 gave numbers that are not finite in bf16 (on a CPU with AMX). */
static dfl_status use_cache(network *m, const char *cache, const char *precision) {
    text path = {0};
    TRY(cache_folder(cache));
    text_add(&path, "%s/%s", cache, precision);
    if (!(m->cache = path.data) || path.failed) return fail_memory();
    return cache_folder(m->cache);
}

static dfl_status configure(network *m, const opts *o) {
    char threads[16];
    const char *const cache = opt_text(o, "cache");
    snprintf(threads, sizeof threads, "%lld", opt_int(o, "threads"));
    if (cache && *cache) TRY(use_cache(m, cache, opt_text(o, "precision")));
    /* Pinned threads would all sit on the first cores, whatever other processes run there: two
       runs of one thread each would share a core and leave the second one idle. */
    const char *const settings[][2] = {{"INFERENCE_PRECISION_HINT", opt_text(o, "precision")},
                                       {"PERFORMANCE_HINT", "LATENCY"},
                                       {"NUM_STREAMS", "1"},
                                       {"ENABLE_CPU_PINNING", "NO"},
                                       {"INFERENCE_NUM_THREADS", threads},
                                       {"CACHE_DIR", m->cache}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const bool unset = !settings[i][1] || strcmp(settings[i][1], "0") == 0;
        if (unset) continue;
        TRY_OV(m->ov.core_set_property(m->core, "CPU", settings[i][0], settings[i][1]),
               settings[i][0]);
    }
    return DFL_OK;
}

/* What the compiled network says it really does; *out stays NULL if it does not say. */
static dfl_status read_back(const network *m, const char *key, char **out) {
    char *value = NULL;
    if (m->ov.compiled_model_get_property(m->compiled, key, &value) != OK) return DFL_OK;
    *out = text_copy(value);
    m->ov.free(value);
    return *out ? DFL_OK : fail_memory();
}

static dfl_status make_input(const network *m, net_input *in) {
    enum { ALIGN = 64 };
    const ov_shape_t shape = {in->port.rank, in->port.dims};
    const size_t bytes = port_bytes(&in->port);
    in->block = bytes < SIZE_MAX - ALIGN ? mem_array(bytes + ALIGN, 1) : NULL;
    if (!in->block) return fail_memory();
    in->data = (char *)in->block + (ALIGN - (uintptr_t)in->block % ALIGN);
    ov_status_e status = GENERAL_ERROR;
    for (int i = 0; i < OV_TYPES; i++)
        if ((int)ov_types[i].dtype == in->port.type)
            status =
                m->ov.tensor_create_from_host_ptr(ov_types[i].type, shape, in->data, &in->tensor);
    if (status != OK) return ov_failed(m, status, "use an input buffer");
    TRY_OV(m->ov.infer_request_set_tensor(m->request, in->name, in->tensor), "set an input");
    return DFL_OK;
}

static dfl_status compile(network *m) {
    const double start = seconds_now();
    TRY_OV(m->ov.core_compile_model(m->core, m->graph, "CPU", 0, &m->compiled),
           "compile the network");
    m->ov.model_free(m->graph);
    m->graph = NULL;
    TRY_OV(m->ov.compiled_model_create_infer_request(m->compiled, &m->request),
           "prepare the network");
    for (int i = 0; i < m->roles; i++) TRY(make_input(m, &m->in[m->role[i]]));
    TRY_OV(m->ov.infer_request_get_tensor(m->request, m->output_name, &m->output),
           "find the output's memory");
    const char *const second = m->base.card.derivative;
    if (second)
        TRY_OV(m->ov.infer_request_get_tensor(m->request, second, &m->derivative),
               "find the derivative's memory");
    TRY(read_back(m, "INFERENCE_PRECISION_HINT", &m->precision));
    TRY(read_back(m, "INFERENCE_NUM_THREADS", &m->threads));
    m->compile_seconds = seconds_now() - start;
    return DFL_OK;
}

static dfl_status open_network(network *m, const opts *o) {
    ov_version_t version;
    if (mem_product(m->rows, m->dim, (size_t)m->base.card.components) > MICROBATCH_MAX)
        return fail(DFL_E_RANGE,
                    "microbatch=%zu: times %zu numbers per sample, at most 2^30 in all "
                    "are allowed",
                    m->rows, m->dim);
    TRY(onnx_check(m->base.card.network_file));
    TRY(runtime_load(&m->ov));
    if (m->ov.get_openvino_version(&version) == OK) {
        m->version = text_copy(version.buildNumber);
        m->ov.version_free(&version);
        if (!m->version) return fail_memory();
    }
    TRY_OV(m->ov.core_create(&m->core), "start");
    TRY(configure(m, o));
    TRY(read_graph(m));
    return compile(m);
}

/* ---- the denoiser ---------------------------------------------------------------------------- */

static dfl_status eval_piece(const network *m, const dfl_request *rq, const pack_piece *p) {
    void *data;
    pack_input(rq, p, m->in[ROLE_SAMPLE].data);
    if (rq->each) TRY(pack_times(m->base.card.form.time_dtype, rq, p, m->in[ROLE_TIME].data));
    if (rq->tangent) pack_tangent(rq, p, m->in[ROLE_TANGENT].data);
    if (m->base.card.classes > 0)
        TRY(pack_labels(&m->base.card, rq, p, m->in[ROLE_CLASS].port.type == NET_INT64,
                        m->in[ROLE_CLASS].data));
    TRY_OV(m->ov.infer_request_infer(m->request), "evaluate the network");
    TRY_OV(m->ov.tensor_data(m->output, &data), "hand out the output");
    pack_output(rq, p, data);
    if (!rq->tangent) return DFL_OK;
    TRY_OV(m->ov.tensor_data(m->derivative, &data), "hand out the derivative");
    pack_derivative(rq, p, data);
    return DFL_OK;
}

static int network_eval(dfl_model *self, const dfl_request *rq) {
    network *const m = (network *)self;
    const card *c = &self->card;
    const size_t in = m->dim * (size_t)c->components;
    const size_t out = m->dim * (size_t)card_output_components(c);
    if (rq->input_dim != in || rq->output_dim != out)
        return fail(DFL_E_COMBINATION,
                    "the network takes %zu numbers per sample and gives %zu; it was asked for %zu "
                    "and %zu: the plan is for another state",
                    in, out, rq->input_dim, rq->output_dim);
    if (!rq->each)
        TRY(pack_time(self->card.form.time_dtype, rq, self->card.time_rank ? m->rows : 1,
                      m->in[ROLE_TIME].data));
    for (size_t from = 0; from < rq->count;) {
        const pack_piece piece = pack_next(rq, from, m->rows);
        TRY(eval_piece(m, rq, &piece));
        from += piece.n;
    }
    return DFL_OK;
}

static void network_free(dfl_model *self) {
    network *const m = (network *)self;
    if (m->output) m->ov.tensor_free(m->output);
    if (m->derivative) m->ov.tensor_free(m->derivative);
    if (m->request) m->ov.infer_request_free(m->request);
    for (int i = 0; i < ROLES; i++) {
        if (m->in[i].tensor) m->ov.tensor_free(m->in[i].tensor);
        free(m->in[i].name);
        free(m->in[i].block);
    }
    if (m->compiled) m->ov.compiled_model_free(m->compiled);
    if (m->graph) m->ov.model_free(m->graph);
    if (m->core) m->ov.core_free(m->core);
    free(m->output_name);
    free(m->version);
    free(m->precision);
    free(m->threads);
    free(m->cache);
}

static void network_describe(const dfl_model *self, text *out) {
    const network *const m = (const network *)self;
    text_add(out, "\"kind\": \"openvino\", \"version\": \"%s\", \"device\": \"CPU\", ",
             m->version ? m->version : "unknown");
    text_add(out, "\"precision\": \"%s\", \"threads\": %s, \"microbatch\": %zu, ",
             m->precision ? m->precision : "unknown", m->threads ? m->threads : "0", m->rows);
    text_add(out, "\"cache\": %s, \"read_seconds\": %.4f, \"compile_seconds\": %.4f",
             m->cache ? "true" : "false", m->read_seconds, m->compile_seconds);
}

dfl_status model_openvino(card *c, const opts *o, dfl_model **out) {
    *out = NULL;
    network *const m = mem_array(1, sizeof *m);
    if (!m) {
        card_free(c);
        return fail_memory();
    }
    m->base = (dfl_model){.card = *c,
                          .eval = network_eval,
                          .free = network_free,
                          .describe = network_describe,
                          .mixed_times = c->time_rank == 1,
                          .tangents = c->input_tangent != NULL,
                          .calls = 1};
    *c = (card){.null_class = -1};
    m->rows = (size_t)opt_int(o, "microbatch");
    m->dim = card_dim(&m->base.card);
    const dfl_status status = open_network(m, o);
    if (status == DFL_OK)
        *out = &m->base;
    else
        dfl_model_free(&m->base);
    return status;
}

#endif
