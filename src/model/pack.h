/* Between requests of any size and the fixed buffers of a static network: rows in, time, labels,
   rows out. A micro-batch has `rows` rows; sample s of a run always sits in row s % rows of
   micro-batch s / rows, whatever else is asked for, so that its bits never depend on it. */
#ifndef DFL_PACK_H
#define DFL_PACK_H

#include "model/model.h"

/* A piece of a request: n samples from `from` on, into rows row .. row + n of a micro-batch. */
typedef struct {
    size_t from, n, row, rows;
} pack_piece;

/* The piece that starts at sample `from` of the request: up to the end of its micro-batch, or where
   samples stand at mixed times, up to a whole one. */
pack_piece pack_next(const dfl_request *rq, size_t from, size_t rows);

/* Input rows as float; rows outside the piece become copies of its first one. */
void pack_input(const dfl_request *rq, const pack_piece *p, float *dst);

/* The piece's rows of src to where they belong in the request's output. */
void pack_output(const dfl_request *rq, const pack_piece *p, const float *src);

/* The same for tangents and derivatives. */
void pack_tangent(const dfl_request *rq, const pack_piece *p, float *dst);
void pack_derivative(const dfl_request *rq, const pack_piece *p, const float *src);

/* The network time, n times, in the network's type. Off the integers, or out of the type's range:
   E_RANGE. */
dfl_status pack_time(net_dtype type, const dfl_request *rq, size_t n, void *dst);
/* The same for a request of mixed times: the piece's rows have their own, the others its first. */
dfl_status pack_times(net_dtype type, const dfl_request *rq, const pack_piece *p, void *dst);
size_t pack_time_size(net_dtype type);

/* Labels as int64 (wide) or int32; -1 is the null class. E_RANGE for labels the card lacks. */
dfl_status pack_labels(const card *c, const dfl_request *rq, const pack_piece *p, bool wide,
                       void *dst);

#endif
