/* Which metrics "driftless eval" computes: those asked for by name, or all that the two sides allow. */
#include <stdint.h>
#include <string.h>

#include "eval.h"

bool eval_wants(const eval_job *j, int metric) {
    return j->wanted >> (unsigned)metric & 1U;
}

static size_t classes_of(const evaluated *e) {
    return e->features ? features_classes(e->features) : e->sums.classes;
}

/* Samples of a side; SIZE_MAX where nobody knows. */
static size_t size_of(const evaluated *e) {
    if (e->features) return features_count(e->features);
    return e->sums.d ? (size_t)statistics_count(&e->sums) : SIZE_MAX;
}

static const char *lacks(const eval_job *j, int metric) {
    if (metric == METRIC_IS)
        return classes_of(&j->made) ? NULL : "the extractor of GENERATED has no classes";
    if (!j->reference) return "there is no reference (--ref)";
    if (!metric_needs_features(metric)) return NULL;
    if (!j->made.features) return "GENERATED is statistics only, and it needs features";
    return j->real.features ? NULL : "the reference is statistics only, and it needs features";
}

/* Nothing, if the metric can be had. */
static void why_not(const eval_job *j, int metric, text *why) {
    const char *const lacking = lacks(j, metric);
    const size_t made = size_of(&j->made), real = j->reference ? size_of(&j->real) : SIZE_MAX;
    const size_t least = metric_least(metric);
    if (lacking)
        text_add(why, "%s", lacking);
    else if (made < least || real < least)
        text_add(why, "%s has %zu sample%s, and %zu are needed",
                 made < least ? "GENERATED" : "the reference", made < least ? made : real,
                 (made < least ? made : real) == 1 ? "" : "s", least);
}

static dfl_status choose_metric(eval_job *j, int metric) {
    text why = {0};
    dfl_status status = DFL_OK;
    why_not(j, metric, &why);
    if (why.failed)
        status = fail_memory();
    else if (!j->chosen && why.len == 0)
        j->wanted |= 1U << (unsigned)metric;
    else if (j->chosen && eval_wants(j, metric) && why.len > 0)
        status = fail(DFL_E_COMBINATION, "--metrics: %s cannot be had: %s", metric_keys[metric],
                      why.data);
    else if (!j->chosen && j->reference)
        text_add(&j->notes, "%s cannot be had: %s.\n", metric_keys[metric], why.data);
    text_free(&why);
    return status;
}

dfl_status eval_choose(eval_job *j) {
    const bool keeps = arg_given(j->args, "stats-out") || arg_given(j->args, "features-out");
    j->chosen = j->wanted != 0;
    for (int m = 0; m < METRICS; m++) TRY(choose_metric(j, m));
    if (j->wanted || keeps) return DFL_OK;
    if (j->reference && j->notes.data)
        return fail(DFL_E_RANGE, "no metric can be had: %.*s", (int)strcspn(j->notes.data, "\n"),
                    j->notes.data);
    return fail(DFL_E_ARG, "eval has nothing to do: give a reference (--ref PATH), or keep "
                           "statistics (--stats-out FILE)");
}
