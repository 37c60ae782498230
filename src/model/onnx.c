/* The outermost frame of an ONNX file: a protobuf message, ModelProto, whose fields follow each
   other to exactly the end of the file, and whose field 7 is the graph. What is inside is the
   runtime's. */
#include "model/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { FIELD_GRAPH = 7 };

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

/* Reads one field's head and skips its content; false where the file's frame is broken. */
static bool skip_field(FILE *f, uint64_t size, uint64_t *field) {
    uint64_t tag, length = 0;
    if (!read_varint(f, &tag)) return false;
    *field = tag >> 3;
    switch (tag & 7) {
    case WIRE_VARINT: return read_varint(f, &length) && *field > 0;
    case WIRE_BYTES:
        if (!read_varint(f, &length)) return false;
        break;
    case WIRE_64: length = 8; break;
    case WIRE_32: length = 4; break;
    default: return false;
    }
    const off_t at = ftello(f);
    if (at < 0 || length > size - (uint64_t)at) return false;
    return *field > 0 && fseeko(f, (off_t)length, SEEK_CUR) == 0;
}

static bool frame_is_whole(FILE *f) {
    bool graph = false;
    if (fseeko(f, 0, SEEK_END) != 0) return false;
    const off_t size = ftello(f);
    if (size < 0 || fseeko(f, 0, SEEK_SET) != 0) return false;
    while (ftello(f) < size) {
        uint64_t field;
        if (!skip_field(f, (uint64_t)size, &field)) return false;
        graph = graph || field == FIELD_GRAPH;
    }
    return graph;
}

dfl_status onnx_check(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return fail(DFL_E_IO, "cannot open '%s': %s", path, strerror(errno));
    const bool whole = frame_is_whole(f);
    fclose(f);
    if (whole) return DFL_OK;
    return fail(DFL_E_MODEL, "%s: this is no ONNX network, or a part of it is missing", path);
}
