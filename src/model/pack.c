/* Conversion and placement of rows, times and labels; see the header. */
#include "model/pack.h"

#include <math.h>
#include <string.h>

/* ---- rows ------------------------------------------------------------------------------------ */

pack_piece pack_next(const dfl_request *rq, size_t from, size_t rows) {
    /* Samples at mixed times come in no order: they fill micro-batches one after the other. */
    const size_t row = rq->samples ? 0 : (size_t)((rq->first + from) % rows);
    const size_t left = rq->count - from, room = rows - row;
    return (pack_piece){from, left < room ? left : room, row, rows};
}

void pack_input(const dfl_request *rq, const pack_piece *p, float *dst) {
    const size_t dim = rq->input_dim, n = p->n * dim;
    float *const piece = dst + p->row * dim;
    if (rq->dtype == DFL_FLOAT64) {
        const double *src = (const double *)rq->input + p->from * dim;
        for (size_t i = 0; i < n; i++) piece[i] = (float)src[i];
    } else {
        memcpy(piece, (const float *)rq->input + p->from * dim, n * sizeof *piece);
    }
    for (size_t r = 0; r < p->rows; r++)
        if (r < p->row || r >= p->row + p->n) memcpy(dst + r * dim, piece, dim * sizeof *dst);
}

void pack_output(const dfl_request *rq, const pack_piece *p, const float *src) {
    const size_t dim = rq->output_dim, n = p->n * dim;
    src += p->row * dim;
    if (rq->dtype == DFL_FLOAT64) {
        double *dst = (double *)rq->output + p->from * dim;
        for (size_t i = 0; i < n; i++) dst[i] = (double)src[i];
        return;
    }
    memcpy((float *)rq->output + p->from * dim, src, n * sizeof *src);
}

void pack_tangent(const dfl_request *rq, const pack_piece *p, float *dst) {
    dfl_request along = *rq;
    along.input = rq->tangent;
    pack_input(&along, p, dst);
}

void pack_derivative(const dfl_request *rq, const pack_piece *p, const float *src) {
    dfl_request along = *rq;
    along.output = rq->derivative;
    pack_output(&along, p, src);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* IEEE 754 half precision, rounded to nearest even; |x| < 65520 (checked by the caller). */
static uint16_t half_bits(double x) {
    const uint16_t sign = signbit(x) ? 0x8000 : 0;
    int exponent;
    const double m = frexp(fabs(x), &exponent); /* m in [0.5, 1): |x| = m 2^exponent */
    if (m == 0) return sign;
    const int shift = exponent > -13 ? 11 : exponent + 24; /* subnormals have fewer bits */
    const double units = nearbyint(ldexp(m, shift));
    /* A carry out of the mantissa runs into the exponent field, as it should. */
    const double base = exponent > -13 ? (double)(exponent + 13) * 1024 : 0;
    return (uint16_t)(sign | (uint16_t)(base + units));
}

/* Whole numbers within rounding error of (i + 1)/N times N. */
static bool is_whole(double tau) {
    return fabs(tau - nearbyint(tau)) <= 1e-6;
}

static dfl_status check_time(net_dtype type, double tau, double t) {
    const bool whole = type == NET_INT32 || type == NET_INT64;
    const double most = type == NET_FLOAT16 ? 65504 : type == NET_INT32 ? 2147483647.0 : 9e15;
    if (whole && !is_whole(tau))
        return fail(DFL_E_RANGE,
                    "network time %g at t=%g: this network takes whole numbers only; use a grid "
                    "whose times are indices of the model's table",
                    tau, t);
    if (!(fabs(tau) <= most))
        return fail(DFL_E_RANGE,
                    "network time %g at t=%g does not fit the network's type (%g at "
                    "most)",
                    tau, t, most);
    return DFL_OK;
}

size_t pack_time_size(net_dtype type) {
    static const size_t size[] = {
        [NET_FLOAT32] = 4, [NET_FLOAT64] = 8, [NET_FLOAT16] = 2, [NET_INT32] = 4, [NET_INT64] = 8};
    return size[type];
}

/* tau, n times. */
static dfl_status put_time(net_dtype type, double tau, double t, size_t n, void *dst) {
    TRY(check_time(type, tau, t));
    const float single = (float)tau;
    const uint16_t half = type == NET_FLOAT16 ? half_bits(tau) : 0;
    const int64_t wide = type == NET_INT64 || type == NET_INT32 ? llrint(tau) : 0;
    const int32_t narrow = (int32_t)wide;
    const void *const value[] = {[NET_FLOAT32] = &single,
                                 [NET_FLOAT64] = &tau,
                                 [NET_FLOAT16] = &half,
                                 [NET_INT32] = &narrow,
                                 [NET_INT64] = &wide};
    const size_t size = pack_time_size(type);
    for (size_t i = 0; i < n; i++) memcpy((char *)dst + i * size, value[type], size);
    return DFL_OK;
}

dfl_status pack_time(net_dtype type, const dfl_request *rq, size_t n, void *dst) {
    return put_time(type, rq->tau, rq->t, n, dst);
}

dfl_status pack_times(net_dtype type, const dfl_request *rq, const pack_piece *p, void *dst) {
    const size_t size = pack_time_size(type);
    for (size_t r = 0; r < p->rows; r++) {
        const bool inside = r >= p->row && r < p->row + p->n;
        const request_point *at = &rq->each[p->from + (inside ? r - p->row : 0)];
        TRY(put_time(type, at->tau, at->t, 1, (char *)dst + r * size));
    }
    return DFL_OK;
}

/* ---- labels ---------------------------------------------------------------------------------- */

static dfl_status find_label(const card *c, int64_t given, int64_t *label) {
    *label = given == -1 ? c->null_class : given;
    if (*label == c->null_class && *label >= 0) return DFL_OK;
    if (given == -1)
        return fail(DFL_E_RANGE,
                    "a sample has no class, and the model no null class; classes 0 to "
                    "%lld are there",
                    (long long)c->classes - 1);
    if (given < 0 || given >= c->classes)
        return fail(DFL_E_RANGE, "class %lld: this model has classes 0 to %lld%s", (long long)given,
                    (long long)c->classes - 1, c->null_class >= 0 ? " and its null class" : "");
    return DFL_OK;
}

dfl_status pack_labels(const card *c, const dfl_request *rq, const pack_piece *p, bool wide,
                       void *dst) {
    for (size_t r = 0; r < p->rows; r++) {
        const bool inside = r >= p->row && r < p->row + p->n;
        const size_t i = p->from + (inside ? r - p->row : 0);
        int64_t label;
        TRY(find_label(c, rq->labels ? rq->labels[i] : -1, &label));
        if (wide)
            ((int64_t *)dst)[r] = label;
        else
            ((int32_t *)dst)[r] = (int32_t)label;
    }
    return DFL_OK;
}
