/* A graph's inputs and outputs compared with the card, before anything is evaluated. */
#include "model/port.h"

const char *const port_roles[ROLES] = {"sample", "time", "class", "tangent"};

void port_static(const card *c, int role, size_t rows, int type, net_port *out) {
    const int rank[] = {[ROLE_SAMPLE] = c->rank + 1,
                        [ROLE_TIME] = c->time_rank,
                        [ROLE_CLASS] = 1,
                        [ROLE_TANGENT] = c->rank + 1};
    out->type = type;
    out->rank = rank[role];
    out->dims[0] = (int64_t)rows;
    for (int i = 1; i < out->rank; i++) out->dims[i] = (int64_t)c->shape[i - 1];
    if (role == ROLE_SAMPLE && c->components == 2) out->dims[1] *= 2;
}

size_t port_bytes(const net_port *port) {
    static const size_t size[] = {
        [NET_FLOAT32] = 4, [NET_FLOAT64] = 8, [NET_FLOAT16] = 2, [NET_INT32] = 4, [NET_INT64] = 8};
    size_t bytes = port->type >= 0 ? size[port->type] : 0;
    for (int i = 0; i < port->rank; i++) bytes = mem_product(bytes, (size_t)port->dims[i], 1);
    return bytes;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static const char *const type_names[] = {[NET_FLOAT32] = "float32",
                                         [NET_FLOAT64] = "float64",
                                         [NET_FLOAT16] = "float16",
                                         [NET_INT32] = "int32",
                                         [NET_INT64] = "int64"};

static const char *type_name(int type) {
    return type >= 0 ? type_names[type] : "of another type";
}

static dfl_status check_type(const card *c, int role, const char *name, int type) {
    const int wanted = role == ROLE_TIME ? (int)c->form.time_dtype : NET_FLOAT32;
    if (role == ROLE_CLASS) {
        if (type == NET_INT64 || type == NET_INT32) return DFL_OK;
        return fail(DFL_E_MODEL, "%s: the class input '%s' is %s; int64 or int32 is needed",
                    c->network_file, name, type_name(type));
    }
    if (type == wanted) return DFL_OK;
    return fail(DFL_E_MODEL, "%s: the %s input '%s' is %s; %s is needed%s", c->network_file,
                port_roles[role], name, type_name(type), type_name(wanted),
                role == ROLE_TIME ? " by the card (time_map, dtype)" : "");
}

dfl_status port_check_input(const card *c, int role, const char *name, const net_port *found) {
    net_port card_says;
    TRY(check_type(c, role, name, found->type));
    port_static(c, role, 1, found->type, &card_says);
    if (found->rank != PORT_UNKNOWN && found->rank != card_says.rank)
        return fail(DFL_E_MODEL, "%s: the %s input '%s' has rank %d; by the card it is %d%s",
                    c->network_file, port_roles[role], name, found->rank, card_says.rank,
                    role == ROLE_TIME ? " (time_map, rank)" : ", the batch included");
    for (int i = 1; i < found->rank; i++)
        if (found->dims[i] != PORT_UNKNOWN && found->dims[i] != card_says.dims[i])
            return fail(DFL_E_MODEL,
                        "%s: dimension %d of the %s input '%s' is %lld; by the card (sample, "
                        "shape) it is %lld",
                        c->network_file, i, port_roles[role], name, (long long)found->dims[i],
                        (long long)card_says.dims[i]);
    return DFL_OK;
}

/* ---- output ---------------------------------------------------------------------------------- */

static bool same_dims(const net_port *found, const net_port *wanted) {
    if (found->rank != wanted->rank) return false;
    for (int i = 0; i < found->rank; i++)
        if (found->dims[i] != wanted->dims[i]) return false;
    return true;
}

dfl_status port_check_output(const card *c, size_t rows, const char *name, const net_port *found) {
    const size_t dim = card_dim(c) * (size_t)card_output_components(c);
    const net_port flat = {NET_FLOAT32, 2, {(int64_t)rows, (int64_t)dim}};
    net_port whole;
    size_t numbers = 1;
    port_static(c, ROLE_SAMPLE, rows, NET_FLOAT32, &whole);
    if (c->components == 2 && c->form.half != NET_BOTH) whole.dims[1] /= 2;
    if (found->type != NET_FLOAT32)
        return fail(DFL_E_MODEL, "%s: the output '%s' is %s; float32 is needed", c->network_file,
                    name, type_name(found->type));
    if (same_dims(found, &whole) || same_dims(found, &flat)) return DFL_OK;
    for (int i = 0; i < found->rank; i++)
        numbers = mem_product(numbers, found->dims[i] > 0 ? (size_t)found->dims[i] : 0, 1);
    if (numbers == 2 * rows * dim)
        return fail(DFL_E_MODEL,
                    "%s: the output '%s' has two numbers for each of the sample's: networks that "
                    "predict a variance too are not supported",
                    c->network_file, name);
    return fail(DFL_E_MODEL,
                "%s: the output '%s' has %zu numbers in %d dimensions for a batch of %zu; by the "
                "card (sample, shape) it has %zu for each sample, in the same shape",
                c->network_file, name, numbers, found->rank, rows, dim);
}
