/* What can be told about an ONNX file without a runtime: whether its outermost frame is whole, and
   the inputs and outputs of its graph. A protobuf message is a row of fields; nested messages are
   fields of known length. Everything read is untrusted: a length that leaves its message ends it. */
#include "model/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* A message in a file: its next field begins at the file's position. */
typedef struct {
    FILE *f;
    off_t end;
} message;

typedef struct {
    uint64_t number; /* of the field */
    unsigned wire;
    uint64_t value; /* VARINT: the number; else the length of the content */
    off_t after;    /* where the next field begins */
} field;

/* False at the end of the file, or for a number of more than 64 bits. */
static bool read_varint(FILE *f, uint64_t *out) {
    *out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const int byte = getc(f);
        if (byte == EOF) return false;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

/* Reads a field's head and stands at its content; false where the frame is broken. */
static bool next_field(const message *m, field *out) {
    uint64_t tag;
    if (!read_varint(m->f, &tag)) return false;
    *out = (field){.number = tag >> 3, .wire = (unsigned)(tag & 7)};
    switch (out->wire) {
    case WIRE_VARINT:
    case WIRE_BYTES:
        if (!read_varint(m->f, &out->value)) return false;
        break;
    case WIRE_64: out->value = 8; break;
    case WIRE_32: out->value = 4; break;
    default: return false;
    }
    const off_t at = ftello(m->f);
    const uint64_t length = out->wire == WIRE_VARINT ? 0 : out->value;
    if (at < 0 || at > m->end || length > (uint64_t)(m->end - at)) return false;
    out->after = at + (off_t)length;
    return out->number > 0;
}

static bool more(const message *m) {
    return ftello(m->f) < m->end;
}

static bool skip(const message *m, const field *f) {
    return fseeko(m->f, f->after, SEEK_SET) == 0;
}

/* ---- the frame --------------------------------------------------------------------------------- */

enum { MODEL_GRAPH = 7 };

static bool whole_file(FILE *f, message *out) {
    if (fseeko(f, 0, SEEK_END) != 0) return false;
    *out = (message){f, ftello(f)};
    return out->end >= 0 && fseeko(f, 0, SEEK_SET) == 0;
}

/* The fields follow each other to exactly the end of the file, and one of them is the graph. */
static bool frame_is_whole(FILE *f, field *graph) {
    message m;
    bool found = false;
    if (!whole_file(f, &m)) return false;
    while (more(&m)) {
        field at;
        const bool good = next_field(&m, &at);
        if (!good) return false;
        if (at.number == MODEL_GRAPH && at.wire == WIRE_BYTES) {
            *graph = at;
            found = true;
        }
        if (!skip(&m, &at)) return false;
    }
    return found;
}

static dfl_status open_whole(const char *path, FILE **f, field *graph) {
    *f = fopen(path, "rb");
    if (!*f) return fail(DFL_E_IO, "cannot open '%s': %s", path, strerror(errno));
    if (frame_is_whole(*f, graph)) return DFL_OK;
    fclose(*f);
    return fail(DFL_E_MODEL, "%s: this is no ONNX network, or a part of it is missing", path);
}

dfl_status onnx_check(const char *path) {
    FILE *f;
    field graph;
    TRY(open_whole(path, &f, &graph));
    fclose(f);
    return DFL_OK;
}

/* ---- inputs and outputs ------------------------------------------------------------------------ */

enum { GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12, TENSOR_NAME = 8 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TENSOR_TYPE = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1 };

static int type_of(uint64_t code) {
    static const struct {
        uint64_t code;
        int type;
    } types[] = {
        {1, NET_FLOAT32}, {6, NET_INT32}, {7, NET_INT64}, {10, NET_FLOAT16}, {11, NET_FLOAT64}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == code) return types[i].type;
    return PORT_OTHER;
}

/* Longer names are cut, and other than printable characters replaced: they match none. */
static bool read_name(const message *m, const field *at, char name[ONNX_NAME]) {
    const size_t n = at->value < ONNX_NAME - 1 ? (size_t)at->value : ONNX_NAME - 1;
    name[n] = 0;
    if (fread(name, 1, n, m->f) != n) return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] < ' ' || name[i] > '~') name[i] = '?';
    return true;
}

/* Dimensions without a number (a name, or nothing) are open. */
static bool read_dim(const message *m, net_port *port) {
    if (port->rank > CARD_RANK_MAX + 1) return true; /* too many: found out by its rank */
    int64_t *const dim = &port->dims[port->rank - 1];
    *dim = PORT_UNKNOWN;
    while (more(m)) {
        field at;
        if (!next_field(m, &at)) return false;
        if (at.number == DIM_VALUE && at.wire == WIRE_VARINT && at.value <= INT32_MAX)
            *dim = (int64_t)at.value;
        if (!skip(m, &at)) return false;
    }
    return true;
}

static bool read_shape(const message *m, net_port *port) {
    port->rank = 0;
    while (more(m)) {
        field at;
        if (!next_field(m, &at)) return false;
        const message inner = {m->f, at.after};
        if (at.number == SHAPE_DIM && at.wire == WIRE_BYTES) {
            port->rank++;
            if (!read_dim(&inner, port)) return false;
        }
        if (!skip(m, &at)) return false;
    }
    return true;
}

static bool read_tensor(const message *m, net_port *port) {
    while (more(m)) {
        field at;
        if (!next_field(m, &at)) return false;
        const message inner = {m->f, at.after};
        if (at.number == TENSOR_TYPE && at.wire == WIRE_VARINT) port->type = type_of(at.value);
        if (at.number == TENSOR_SHAPE && at.wire == WIRE_BYTES && !read_shape(&inner, port))
            return false;
        if (!skip(m, &at)) return false;
    }
    return true;
}

static bool read_type(const message *m, net_port *port) {
    while (more(m)) {
        field at;
        if (!next_field(m, &at)) return false;
        const message inner = {m->f, at.after};
        if (at.number == TYPE_TENSOR && at.wire == WIRE_BYTES && !read_tensor(&inner, port))
            return false;
        if (!skip(m, &at)) return false;
    }
    return true;
}

static bool read_value(const message *m, onnx_value *out) {
    *out = (onnx_value){.port = {.type = PORT_OTHER, .rank = PORT_UNKNOWN}};
    while (more(m)) {
        field at;
        if (!next_field(m, &at)) return false;
        const message inner = {m->f, at.after};
        if (at.wire == WIRE_BYTES && at.number == VALUE_NAME && !read_name(m, &at, out->name))
            return false;
        if (at.wire == WIRE_BYTES && at.number == VALUE_TYPE && !read_type(&inner, &out->port))
            return false;
        if (!skip(m, &at)) return false;
    }
    return true;
}

/* Old graphs list their constants among the inputs. */
static bool drop_constant(const message *m, onnx_graph *out) {
    char name[ONNX_NAME];
    while (more(m)) {
        field at;
        if (!next_field(m, &at)) return false;
        if (at.number == TENSOR_NAME && at.wire == WIRE_BYTES) {
            if (!read_name(m, &at, name)) return false;
            for (size_t i = 0; i < out->ninputs; i++)
                if (strcmp(out->input[i].name, name) == 0)
                    out->input[i--] = out->input[--out->ninputs];
        }
        if (!skip(m, &at)) return false;
    }
    return true;
}

/* The graph's fields of one number: inputs and outputs first, then, from its start, constants. */
static bool read_graph(const message *m, bool constants, onnx_graph *out) {
    while (more(m)) {
        field at;
        if (!next_field(m, &at)) return false;
        const message inner = {m->f, at.after};
        const bool nested = at.wire == WIRE_BYTES;
        if (nested && constants && at.number == GRAPH_INITIALIZER && !drop_constant(&inner, out))
            return false;
        if (nested && !constants && (at.number == GRAPH_INPUT || at.number == GRAPH_OUTPUT)) {
            const bool input = at.number == GRAPH_INPUT;
            size_t *const n = input ? &out->ninputs : &out->noutputs;
            if (*n == ONNX_VALUES_MAX) return false;
            if (!read_value(&inner, input ? &out->input[(*n)++] : &out->output[(*n)++]))
                return false;
        }
        if (!skip(m, &at)) return false;
    }
    return true;
}

dfl_status onnx_read(const char *path, onnx_graph *out) {
    FILE *f;
    field graph;
    *out = (onnx_graph){0};
    TRY(open_whole(path, &f, &graph));
    const message m = {f, graph.after};
    const off_t begin = graph.after - (off_t)graph.value;
    const bool good = fseeko(f, begin, SEEK_SET) == 0 && read_graph(&m, false, out) &&
                      fseeko(f, begin, SEEK_SET) == 0 && read_graph(&m, true, out);
    fclose(f);
    if (good) return DFL_OK;
    return fail(DFL_E_MODEL, "%s: the graph is damaged, or has more than %d inputs or outputs",
                path, ONNX_VALUES_MAX);
}
