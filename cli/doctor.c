/* "driftless doctor": what is odd about a model and a plan, before anything is sampled. */
#include <stdlib.h>

#include "cli.h"
#include "spec.h"

static int run_doctor(const args *a);

static const arg_row rows[] = {
    SPEC_ROWS_PLAIN,
    {0, "threads", NULL, "N", "0", "threads of the network; 0: all", ARG_INT, 0, 1024},
    {0, "json", NULL, NULL, NULL, "print the report as JSON", ARG_FLAG, 0, 0},
    ROWS_END};

const command command_doctor = {
    "doctor",
    "MODEL [options]",
    "Looks for what is wrong with a model, its card and the plan of these options, and names the "
    "fix: times, steps, start and end, prediction type, batch, classes, range. Takes about 20 "
    "evaluations of a few samples.",
    "exit codes: 0 no error found (warnings and notes may be there), 1 errors found,\n"
    "2 usage, 3 the model or its runtime cannot be examined\n",
    1,
    1,
    rows,
    run_doctor};

static dfl_status get_text(const void *doctor, char *buf, size_t cap, size_t *need) {
    return dfl_doctor_to_text(doctor, buf, cap, need);
}

static dfl_status get_json(const void *doctor, char *buf, size_t cap, size_t *need) {
    return dfl_doctor_to_json(doctor, buf, cap, need);
}

static dfl_status examine(const args *a, const char *spec, dfl_doctor **out) {
    text options = {0};
    text_add(&options, "threads=%lld", arg_given(a, "threads") ? arg(a, "threads")->integer : 0);
    const dfl_status status =
        options.failed ? fail_memory() : dfl_doctor_new(a->operand[0], options.data, spec, out);
    text_free(&options);
    return status;
}

static dfl_status print_report(const args *a, const dfl_doctor *doctor) {
    char *data = NULL;
    TRY(fetch_text(arg_given(a, "json") ? get_json : get_text, doctor, &data));
    dfl_status status = print_out(data);
    if (status == DFL_OK && arg_given(a, "json")) status = print_out("\n");
    free(data);
    return status;
}

static int run_doctor(const args *a) {
    dfl_doctor *doctor = NULL;
    text spec = {0};
    int code = CODE_BY_STATUS;
    dfl_status status = spec_make(a, &spec);
    if (status == DFL_OK) {
        status = examine(a, spec.data, &doctor);
        if (status == DFL_E_IO) code = CODE_MODEL;
    }
    if (status == DFL_OK) {
        code = dfl_doctor_count(doctor, DFL_ERROR) > 0 ? CODE_FAILURE : CODE_OK;
        status = print_report(a, doctor);
        if (status != DFL_OK) code = CODE_FAILURE;
    }
    if (status != DFL_OK) code = tell_failure(status, code);
    dfl_doctor_free(doctor);
    text_free(&spec);
    return code;
}
