/* The common part of commands over images of data. */
#include "images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "open.h"
#include "output.h"
#include "spec.h"
#include "stop.h"

enum { SECONDS_BETWEEN_SAVINGS = 10 };

dfl_status images_outputs(images *m) {
    m->output = arg(m->args, "output")->text;
    m->quiet = arg_given(m->args, "quiet");
    if (!m->output) return DFL_OK;
    TRY(output_check_folder(m->output));
    text_add(&m->part, "%s.part", m->output);
    return m->part.failed ? fail_memory() : DFL_OK;
}

dfl_status images_spec(images *m, const char *const *words, size_t n) {
    if (arg_given(m->args, "labels") && arg_given(m->args, "class"))
        return fail(DFL_E_ARG, "--labels and --class contradict each other");
    TRY(spec_add(m->args, words, n, false, &m->spec));
    text_add(&m->spec, "%s", ""); /* text even where nothing was given */
    return m->spec.failed ? fail_memory() : DFL_OK;
}

static dfl_status open_one(images *m) {
    TRY(open_model(m->args, &m->model));
    if (!m->quiet) tell_warnings(m->model->card.warnings.data);
    return DFL_OK;
}

static dfl_status read_data(images *m) {
    const char *labels = arg(m->args, "labels")->text, *word = arg(m->args, "class")->text;
    int64_t label = -1;
    if (word) TRY(find_class(&m->model->card, word, &label));
    return likelihood_read(m->args->operand[1], labels, label, &m->model->card, &m->data);
}

static void images_free(images *m) {
    likelihood_data_free(&m->data);
    dfl_model_free(m->model);
    text_free(&m->spec);
    text_free(&m->part);
}

size_t images_number(const images *m, const char *option) {
    return arg_given(m->args, option) ? (size_t)arg(m->args, option)->integer : 0;
}

bool images_may_resume(const images *m) {
    return m->output && access(m->part.data, F_OK) == 0;
}

bool images_save_due(images *m) {
    if (!m->output || seconds_now() - m->saved < SECONDS_BETWEEN_SAVINGS) return false;
    m->saved = seconds_now();
    return true;
}

dfl_status images_interrupted(const images *m, size_t done, size_t count) {
    if (!m->output || done == 0)
        return fail(DFL_E_STOPPED, "interrupted; nothing was written%s",
                    m->output ? "" : " (with -o, a run can be continued)");
    return fail(
        DFL_E_STOPPED,
        "interrupted; %zu of %zu images stand in %s, and the same command goes on from there", done,
        count, m->part.data);
}

dfl_status images_forget(const images *m) {
    if (unlink(m->part.data) == 0 || errno == ENOENT) return DFL_OK;
    return fail(DFL_E_IO, "%s: %s", m->part.data, strerror(errno));
}

static dfl_status get_info(const void *model, char *buf, size_t cap, size_t *need) {
    return dfl_model_info(model, buf, cap, need);
}

dfl_status images_record(const images *m, const char *format, size_t first, size_t count,
                         text *out) {
    char *info = NULL;
    text_add(out, "{\"format\": \"%s\", \"version\": \"%s\", \"arguments\": [", format,
             dfl_version());
    for (int i = 1; i < m->args->argc; i++) {
        if (i > 1) text_add(out, ", ");
        json_add_text(out, m->args->argv[i]);
    }
    TRY(fetch_text(get_info, m->model, &info));
    text_add(out, "], \"model\": %s, \"data_digest\": \"%s\", \"first\": %zu, \"images\": %zu",
             info, m->data.digest, first, count);
    free(info);
    return DFL_OK;
}

int images_run(images *m, const images_stages *s, void *work) {
    int code = CODE_BY_STATUS;
    m->began = m->saved = seconds_now();
    stop_install();
    dfl_status status = s->spec(work);
    if (status == DFL_OK) {
        code = CODE_MODEL;
        status = open_one(m);
    }
    if (status == DFL_OK) {
        code = CODE_BY_STATUS;
        if (s->prepare) status = s->prepare(work);
    }
    if (status == DFL_OK) status = read_data(m);
    if (status == DFL_OK) status = s->compute(work);
    if (status == DFL_OK) {
        code = s->finish_code;
        status = s->finish(work);
    }
    s->free(work);
    images_free(m);
    return status == DFL_OK ? CODE_OK : tell_failure(status, code);
}
