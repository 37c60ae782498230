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

uint64_t dfl_request_sample(const dfl_request *request, size_t i) {
    return request->first + i;
}

int64_t dfl_request_label(const dfl_request *request, size_t i) {
    return request->labels ? request->labels[i] : -1;
}
