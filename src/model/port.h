/* What is checked about a network around the runtime: its file, the inputs and outputs of its graph
   against the card, and the folder its compiled forms may be kept in. */
#ifndef DFL_PORT_H
#define DFL_PORT_H

#include "model/model.h"

enum { ROLE_SAMPLE, ROLE_TIME, ROLE_CLASS, ROLE_TANGENT, ROLES };
extern const char *const port_roles[ROLES];

enum { PORT_UNKNOWN = -1, PORT_OTHER = -2 };

typedef struct {
    int type;                        /* a net_dtype, or PORT_OTHER */
    int rank;                        /* or PORT_UNKNOWN */
    int64_t dims[CARD_RANK_MAX + 1]; /* or PORT_UNKNOWN */
} net_port;

/* The port of a role with `rows` samples, as the card wants it. `type` is the graph's. In phase
   space the sample input has twice the sample's first dimension: x, then m. */
void port_static(const card *c, int role, size_t rows, int type, net_port *out);

size_t port_bytes(const net_port *port); /* of a static port; SIZE_MAX if that overflows */

/* What the graph says of an input / of the output of the static graph. E_MODEL: does not match. */
dfl_status port_check_input(const card *c, int role, const char *name, const net_port *found);
dfl_status port_check_output(const card *c, size_t rows, const char *name, const net_port *found);

/* Whether the outermost frame of an ONNX file is whole: catches other files and truncated ones with
   a sentence of ours, where a runtime would try one format after the other. E_IO, E_MODEL. */
dfl_status onnx_check(const char *path);

/* The inputs and outputs of an ONNX graph as its file names them, in its order. */
enum { ONNX_VALUES_MAX = 64, ONNX_NAME = 128 };

typedef struct {
    char name[ONNX_NAME]; /* longer ones are cut */
    net_port port;
} onnx_value;

typedef struct {
    size_t ninputs, noutputs;
    onnx_value input[ONNX_VALUES_MAX], output[ONNX_VALUES_MAX];
} onnx_graph;

/* E_IO, E_MODEL. */
dfl_status onnx_read(const char *path, onnx_graph *out);

/* Makes the folder and its parents, for this user only; refuses one that others may write to. */
dfl_status cache_folder(const char *path);

#endif
