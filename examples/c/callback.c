/* Samples N(3, 0.5^2) in twelve evaluations of a function that driftless calls. */
#include <driftless/driftless.h>
#include <math.h>
#include <stdio.h>

enum { COUNT = 4000 };

/* x = a x_0 + b n: the mean of the noise n, given x. */
static int predict_noise(void *user, const dfl_request *request) {
    const double a = *dfl_request_a(request), b = *dfl_request_b(request);
    const float *x = dfl_request_input(request);
    float *noise = dfl_request_output(request);
    for (size_t i = 0; i < dfl_request_count(request); i++)
        noise[i] = (float)(b * (x[i] - 3 * a) / (0.25 * a * a + b * b));
    ++*(int *)user;
    return 0;
}

int main(void) {
    static float samples[COUNT];
    const char *card = "{\"format\": \"driftless-model/1\", \"process\": \"vp_linear\","
                       " \"prediction_type\": \"epsilon\", \"sample\": {\"shape\": [1]}}";
    int calls = 0;
    dfl_model *model = NULL;
    dfl_plan *plan = NULL;
    dfl_run *run = NULL;
    dfl_status status = dfl_model_callback(card, predict_noise, &calls, &model);
    if (!status) status = dfl_plan_new(model, "solver=deis:order=2 steps=12", &plan);
    if (!status) status = dfl_run_new(plan, model, "seed=1,batch=4000", &run);
    if (!status) status = dfl_run_sample(run, 0, COUNT, NULL, NULL, samples);
    if (status) fprintf(stderr, "%s\n", dfl_last_message());
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);

    double mean = 0, square = 0;
    for (int i = 0; i < COUNT; i++) mean += samples[i] / COUNT;
    for (int i = 0; i < COUNT; i++) square += (samples[i] - mean) * (samples[i] - mean) / COUNT;
    printf("mean %.4f, deviation %.4f, %d calls\n", mean, sqrt(square), calls);
    return status || fabs(mean - 3) > 0.04 || fabs(sqrt(square) - 0.5) > 0.03;
}
