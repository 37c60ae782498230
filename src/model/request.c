/* What a denoiser callback may ask about its request. */
#include "model/model.h"

size_t dfl_request_count(const dfl_request *request) {
    return request->count;
}

int dfl_request_dtype(const dfl_request *request) {
    return request->dtype;
}

size_t dfl_request_input_dim(const dfl_request *request) {
    return request->input_dim;
}

size_t dfl_request_output_dim(const dfl_request *request) {
    return request->output_dim;
}

const void *dfl_request_input(const dfl_request *request) {
    return request->input;
}

void *dfl_request_output(const dfl_request *request) {
    return request->output;
}

double dfl_request_time(const dfl_request *request) {
    return request->t;
}

double dfl_request_network_time(const dfl_request *request) {
    return request->tau;
}

const double *dfl_request_a(const dfl_request *request) {
    return request->at.a;
}

const double *dfl_request_b(const dfl_request *request) {
    return request->at.b;
}

int dfl_request_is_mixed(const dfl_request *request) {
    return request->each != NULL;
}

double dfl_request_time_of(const dfl_request *request, size_t i) {
    return request->each ? request->each[i].t : request->t;
}

double dfl_request_network_time_of(const dfl_request *request, size_t i) {
    return request->each ? request->each[i].tau : request->tau;
}

const double *dfl_request_a_of(const dfl_request *request, size_t i) {
    return request->each ? request->each[i].at.a : request->at.a;
}

const double *dfl_request_b_of(const dfl_request *request, size_t i) {
    return request->each ? request->each[i].at.b : request->at.b;
}

uint64_t dfl_request_sample(const dfl_request *request, size_t i) {
    return request->samples ? request->samples[i] : request->first + i;
}

int64_t dfl_request_label(const dfl_request *request, size_t i) {
    return request->labels ? request->labels[i] : -1;
}

dfl_request request_of(const dfl_request *rq, size_t i) {
    dfl_request one = *rq;
    if (!rq->each) return one;
    one.t = rq->each[i].t;
    one.tau = rq->each[i].tau;
    one.at = rq->each[i].at;
    one.gives = rq->each[i].gives;
    one.each = NULL;
    return one;
}
