/* Feature networks through OpenVINO's C API: checked against the card, made static, compiled for the
   CPU in float32 (its default may be bfloat16). */
#include "model/features.h"

#ifndef DFL_HAVE_OPENVINO

dfl_status feature_graph_open(const feature_wish *wish, feature_graph **out) {
    (void)wish;
    *out = NULL;
    return fail(DFL_E_RUNTIME,
                "this build of driftless has no OpenVINO, which these networks need: install it "
                "(pip install openvino==2026.4.1) and build again with -DDFL_OPENVINO_ROOT=FOLDER");
}

void feature_graph_free(feature_graph *g) {
    (void)g;
}

float *feature_graph_input(feature_graph *g) {
    (void)g;
    return NULL;
}

dfl_status feature_graph_run(feature_graph *g, const float **features, const float **logits) {
    (void)g;
    *features = *logits = NULL;
    return fail(DFL_E_RUNTIME, "this build of driftless has no OpenVINO");
}

#else

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/port.h"
#include "model/runtime.h"

enum { OUTPUTS = 2, NUMBERS_MAX = 1 << 28 }; /* numbers in one call */

struct feature_graph {
    char *file;
    ov_api ov;
    ov_core_t *core;
    ov_model_t *graph;
    ov_compiled_model_t *compiled;
    ov_infer_request_t *request;
    ov_tensor_t *input, *output[OUTPUTS];
    void *block; /* of the input; data: in it, aligned */
    float *data;
};

#define TRY_OV(call, what)                                                                         \
    do {                                                                                           \
        const ov_status_e ov_status_ = (call);                                                     \
        if (ov_status_ != OK) return runtime_failed(&g->ov, g->file, ov_status_, what);            \
    } while (0)

/* ---- the graph against the card -------------------------------------------------------------- */

/* Whether a port takes float32 of these dimensions; the first one is the batch, and any. */
static dfl_status compare(const feature_graph *g, const ov_output_const_port_t *port, int rank,
                          const int64_t *dims, bool *fits) {
    ov_partial_shape_t shape;
    ov_element_type_e type;
    TRY_OV(g->ov.port_get_element_type(port, &type), "tell an element type");
    TRY_OV(g->ov.port_get_partial_shape(port, &shape), "tell a shape");
    const bool ranked = shape.rank.min == shape.rank.max;
    *fits = type == F32 && (!ranked || shape.rank.max == rank);
    for (int i = 1; i < rank && *fits && ranked; i++) {
        const ov_dimension_t d = shape.dims[i];
        *fits = d.min != d.max || d.min == dims[i];
    }
    g->ov.partial_shape_free(&shape);
    return DFL_OK;
}

/* [rows][shape] -> rank */
static int input_shape(const feature_wish *w, size_t rows, int64_t dims[4]) {
    dims[0] = (int64_t)rows;
    for (int i = 0; i < w->rank; i++) dims[i + 1] = (int64_t)w->shape[i];
    return w->rank + 1;
}

static dfl_status unlike_card(const feature_graph *g, const feature_wish *w) {
    text shape = {0};
    for (int i = 0; i < w->rank; i++) text_add(&shape, "[%zu]", w->shape[i]);
    const dfl_status status =
        shape.failed ? fail_memory()
                     : fail(DFL_E_MODEL,
                            "%s: the input '%s' is not float32 [batch]%s, as the card (shape) says",
                            g->file, w->images, shape.data);
    text_free(&shape);
    return status;
}

static dfl_status check_input(const feature_graph *g, const feature_wish *w) {
    int64_t dims[4];
    const int rank = input_shape(w, w->rows, dims);
    ov_output_const_port_t *port = NULL;
    size_t count;
    bool fits = false;
    TRY_OV(g->ov.model_inputs_size(g->graph, &count), "count the inputs");
    if (count != 1)
        return fail(DFL_E_MODEL, "%s: the network has %zu inputs; one is expected", g->file, count);
    if (g->ov.model_const_input_by_name(g->graph, w->images, &port) != OK)
        return fail(DFL_E_MODEL, "%s: there is no input '%s', which the card names", g->file,
                    w->images);
    const dfl_status status = compare(g, port, rank, dims, &fits);
    g->ov.output_const_port_free(port);
    TRY(status);
    return fits ? DFL_OK : unlike_card(g, w);
}

static dfl_status make_static(const feature_graph *g, const feature_wish *w) {
    int64_t dims[4];
    const int rank = input_shape(w, w->rows, dims);
    const char *names[] = {w->images};
    ov_partial_shape_t shape;
    TRY_OV(g->ov.partial_shape_create_static(rank, dims, &shape), "make a shape");
    const ov_status_e status = g->ov.model_reshape(g->graph, names, &shape, 1);
    g->ov.partial_shape_free(&shape);
    TRY_OV(status, "give the network a fixed micro-batch");
    return DFL_OK;
}

/* An output has rows x width numbers, in any shape that begins with the rows. */
static dfl_status read_output(const feature_graph *g, const ov_output_const_port_t *port,
                              size_t rows, size_t width, bool *fits) {
    ov_partial_shape_t shape;
    ov_element_type_e type;
    size_t numbers = 1;
    TRY_OV(g->ov.port_get_element_type(port, &type), "tell an element type");
    TRY_OV(g->ov.port_get_partial_shape(port, &shape), "tell a shape");
    const bool ranked = shape.rank.min == shape.rank.max && shape.rank.max >= 1;
    *fits = type == F32 && ranked && shape.dims[0].min == (int64_t)rows;
    for (int64_t i = 1; i < shape.rank.max && *fits; i++) {
        *fits = shape.dims[i].min == shape.dims[i].max && shape.dims[i].min >= 0;
        numbers = mem_product(numbers, *fits ? (size_t)shape.dims[i].min : 0, 1);
    }
    g->ov.partial_shape_free(&shape);
    *fits = *fits && numbers == width;
    return DFL_OK;
}

static dfl_status check_output(const feature_graph *g, const char *name, size_t rows,
                               size_t width) {
    ov_output_const_port_t *port = NULL;
    bool fits = false;
    if (g->ov.model_const_output_by_name(g->graph, name, &port) != OK)
        return fail(DFL_E_MODEL, "%s: there is no output '%s', which the card names", g->file,
                    name);
    const dfl_status status = read_output(g, port, rows, width, &fits);
    g->ov.output_const_port_free(port);
    TRY(status);
    if (fits) return DFL_OK;
    return fail(DFL_E_MODEL,
                "%s: the output '%s' is not float32 with %zu numbers for each row, as the card "
                "says",
                g->file, name, width);
}

static size_t row_numbers(const feature_wish *w) {
    size_t numbers = 1;
    for (int i = 0; i < w->rank; i++) numbers = mem_product(numbers, w->shape[i], 1);
    return numbers;
}

/* ---- from file to a ready request ------------------------------------------------------------ */

static dfl_status configure(const feature_graph *g, int threads) {
    char number[16];
    snprintf(number, sizeof number, "%d", threads);
    const char *const settings[][2] = {{"INFERENCE_PRECISION_HINT", "f32"},
                                       {"PERFORMANCE_HINT", "LATENCY"},
                                       {"NUM_STREAMS", "1"},
                                       {"ENABLE_CPU_PINNING", "NO"},
                                       {"INFERENCE_NUM_THREADS", number}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (strcmp(settings[i][1], "0") == 0) continue;
        TRY_OV(g->ov.core_set_property(g->core, "CPU", settings[i][0], settings[i][1]),
               settings[i][0]);
    }
    return DFL_OK;
}

static dfl_status make_input(feature_graph *g, const feature_wish *w) {
    enum { ALIGN = 64 };
    int64_t dims[4];
    const ov_shape_t shape = {input_shape(w, w->rows, dims), dims};
    const size_t bytes = w->rows * row_numbers(w) * sizeof(float); /* checked: NUMBERS_MAX */
    g->block = mem_array(bytes + ALIGN, 1);
    if (!g->block) return fail_memory();
    g->data = (float *)((char *)g->block + (ALIGN - (uintptr_t)g->block % ALIGN));
    TRY_OV(g->ov.tensor_create_from_host_ptr(F32, shape, g->data, &g->input),
           "use an input buffer");
    TRY_OV(g->ov.infer_request_set_tensor(g->request, w->images, g->input), "set the input");
    return DFL_OK;
}

static dfl_status compile(feature_graph *g, const feature_wish *w) {
    TRY_OV(g->ov.core_compile_model(g->core, g->graph, "CPU", 0, &g->compiled),
           "compile the network");
    g->ov.model_free(g->graph);
    g->graph = NULL;
    TRY_OV(g->ov.compiled_model_create_infer_request(g->compiled, &g->request),
           "prepare the network");
    TRY(make_input(g, w));
    const char *const names[OUTPUTS] = {w->features, w->logits};
    for (int i = 0; i < OUTPUTS; i++)
        if (names[i])
            TRY_OV(g->ov.infer_request_get_tensor(g->request, names[i], &g->output[i]),
                   "find an output's memory");
    return DFL_OK;
}

static dfl_status open_graph(feature_graph *g, const feature_wish *w) {
    g->file = text_copy(w->file);
    if (!g->file) return fail_memory();
    const size_t numbers = row_numbers(w);
    if (mem_product(w->rows, numbers, 1) > NUMBERS_MAX)
        return fail(DFL_E_RANGE, "%s: %zu numbers a row; %zu rows at once have too many", w->file,
                    numbers, w->rows);
    TRY(onnx_check(w->file));
    TRY(runtime_load(&g->ov));
    TRY_OV(g->ov.core_create(&g->core), "start");
    TRY(configure(g, w->threads));
    TRY_OV(g->ov.core_read_model(g->core, w->file, NULL, &g->graph), "read the network");
    TRY(check_input(g, w));
    TRY(make_static(g, w));
    TRY(check_output(g, w->features, w->rows, w->width));
    if (w->logits) TRY(check_output(g, w->logits, w->rows, w->classes));
    return compile(g, w);
}

dfl_status feature_graph_open(const feature_wish *wish, feature_graph **out) {
    *out = NULL;
    feature_graph *const g = mem_array(1, sizeof *g);
    if (!g) return fail_memory();
    const dfl_status status = open_graph(g, wish);
    if (status == DFL_OK)
        *out = g;
    else
        feature_graph_free(g);
    return status;
}

void feature_graph_free(feature_graph *g) {
    if (!g) return;
    for (int i = 0; i < OUTPUTS; i++)
        if (g->output[i]) g->ov.tensor_free(g->output[i]);
    if (g->request) g->ov.infer_request_free(g->request);
    if (g->input) g->ov.tensor_free(g->input);
    if (g->compiled) g->ov.compiled_model_free(g->compiled);
    if (g->graph) g->ov.model_free(g->graph);
    if (g->core) g->ov.core_free(g->core);
    free(g->block);
    free(g->file);
    free(g);
}

float *feature_graph_input(feature_graph *g) {
    return g->data;
}

dfl_status feature_graph_run(feature_graph *g, const float **features, const float **logits) {
    const float **const to[OUTPUTS] = {features, logits};
    TRY_OV(g->ov.infer_request_infer(g->request), "evaluate the network");
    for (int i = 0; i < OUTPUTS; i++) {
        void *data = NULL;
        if (g->output[i]) TRY_OV(g->ov.tensor_data(g->output[i], &data), "hand out an output");
        *to[i] = data;
    }
    return DFL_OK;
}

#endif
